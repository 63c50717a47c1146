"""A stage of `birdcore` as a Prefect task: cached by our key, retried where that can help."""

import errno
import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import torch
from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from birdcore.store.artifact import Metrics, Progress, Ref, Step
from birdcore.store.location import folder_of, open_store
from birdcore.store.private import private_folder
from birdcore.store.regular import remove
from birdcore.store.store import Job
from tasks.progress import progress_of
from tasks.reference import ReferenceSerializer

RETRIES = 3
PASSING = (errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
"""Errors of a disk on the network that may be over at the next try."""
RESULTS = Path("prefect") / "results"

StageTask = Task[[Step, str, bool, int], Ref]


class Recoverable(RuntimeError):
    """A failure that may be over at the next try: a process that died, a full device."""


def stage_task(
    stage: str,
    run: Callable[[Job], Metrics],
    *,
    resumes: bool = False,
    make: Callable[[Step, str, Progress, bool], None] | None = None,
) -> StageTask:
    """The task of a stage: `(step, store, refresh, threads) -> Ref`, threads of torch.

    `make` replaces making the artifact in this process, for stages that need one of their own.
    """

    def body(step: Step, store: str, refresh: bool = False, threads: int = 0) -> Ref:
        if threads:
            torch.set_num_threads(threads)
        shelf = open_store(store)
        if not refresh and (artifact := shelf.find(step.ref)):
            return artifact.ref  # another run made it, one whose results Prefect does not know
        with progress_of(step.name) as progress:
            if make is not None:
                make(step, shelf.place, progress, refresh)
            else:
                shelf.make(step, run, progress, resumes=resumes, refresh=refresh)
        return shelf.get(step.ref).ref

    body.__name__ = stage
    body.__doc__ = (run.__doc__ or f"Make one {stage} artifact.").strip()
    return Task(
        fn=body,
        name=stage,
        task_run_name="{step.name}",
        persist_result=True,
        cache_result_in_memory=False,
        cache_policy=CacheKeyFnPolicy(cache_key_fn=_key),
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(10),
        retry_jitter_factor=0.5,
        retry_condition_fn=can_recover,
    )


def in_store(task: StageTask, store: str, *, refresh: bool = False) -> StageTask:
    """The task with its results beside the artifacts that they refer to."""
    return task.with_options(
        result_storage=_own_results(folder_of(store)),
        result_serializer=ReferenceSerializer(store=store),
        refresh_cache=refresh,
    )


@cache
def _own_results(store: Path) -> Path:
    """The folder of results, ours alone: a result names its own serializer, which may be pickle.

    Raises NotPrivateError where it is a link or another account's.
    """
    private_folder(store / RESULTS.parent)
    results = private_folder(store / RESULTS)
    for path in results.iterdir():  # of a time when others could write there
        if path.lstat().st_uid != os.getuid():
            remove(path)
    return results


def _key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The step's key, and the store's place: a reference is only good for where it was checked."""
    step: Step = parameters["step"]
    place = hashlib.sha256(parameters["store"].encode()).hexdigest()
    return f"{step.stage}-{step.key}-{place[:12]}"


def can_recover(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether another try can help: the network and a device can recover, a bad input can't."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, Recoverable | ConnectionError | TimeoutError | httpx.TransportError):
        return True
    return isinstance(error, OSError) and error.errno in PASSING
