"""A stage of `birdcore` as a Prefect task: cached by our key, retried where that can help."""

import errno
import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import httpx
from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from birdcore.stages.table import make
from birdcore.store.artifact import Progress, Ref, Step
from birdcore.store.files import remove
from birdcore.store.location import local_folder, open_store
from birdcore.store.private import private_folder
from tasks.progress import progress_of
from tasks.reference import ReferenceSerializer

RETRIES = 3
PASSING = (errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
"""Errors of a disk on the network that may be over at the next try."""
RESULTS = Path("prefect") / "results"

StageTask: TypeAlias = Task[[Step, str, bool, int], Ref]
Make: TypeAlias = Callable[[Step, str, Progress, bool], None]
"""Makes a step's artifact in the store at a place, reports progress, anew where it is told so."""


class Recoverable(RuntimeError):
    """A failure that may be over at the next try: a process that died, a full device."""


def make_here(step: Step, store: str, progress: Progress, refresh: bool) -> None:
    """Make the step's artifact in this process."""
    make(step, open_store(store), progress, refresh=refresh)


def stage_task(stage: str, make: Make = make_here) -> StageTask:
    """The Prefect task of a stage: `(step, store, refresh, threads) -> Ref`.

    Args:
        stage: The stage's name.
        make: What makes the artifact of a step in a store; `train` takes a process of its own.
    """

    def body(step: Step, store: str, refresh: bool = False, threads: int = 0) -> Ref:
        if threads:
            # Here, so that a flow with nothing to do does not wait for torch.
            from birdcore.compute_threads import use_threads

            use_threads(threads)
        opened = open_store(store)
        if not refresh and (artifact := opened.find(step.ref)):
            return artifact.ref  # another run made it, one whose results Prefect does not know
        with progress_of(step.name) as progress:
            make(step, opened.location, progress, refresh)
        return opened.get(step.ref).ref

    body.__name__ = stage
    body.__doc__ = f"Make one artifact of the stage {stage}."
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
        result_storage=_own_results(local_folder(store)),
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
