"""The task `train`: see `birdcore.stages.train`; one process per model, one model per GPU.

torch is imported as a training starts: flows that train nothing do not wait seconds for it.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from birdcore.stages.training_process import PASSING, step_to_json
from birdcore.store.artifact import Progress, Step
from birdcore.store.private import NotPrivateError, open_private, private_folder
from tasks.stage import Recoverable, stage_task
from tasks.stop import check, stopping

WORKER = (sys.executable, "-m", "birdcore.stages.training_process")
LIMIT = "gpu"
LEASE_S = 60.0
"""The slot of a run that was killed is free again after so long."""
WATCH_S = 1.0
STALLED_AFTER_S = 6 * 3600
"""A training that finishes no epoch for so long is ended, and goes on from its checkpoint."""


def _visible_gpus() -> list[str]:
    """The GPUs that a training may have, each under the name that CUDA_VISIBLE_DEVICES takes."""
    import torch

    numbers = ",".join(map(str, range(torch.cuda.device_count())))
    return [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", numbers).split(",")]


def _lock_folder() -> Path:
    """Where the GPUs' locks lie: no other account can make, hold or replace one there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return private_folder(cache.expanduser() / "birdflow" / "locks")
    except NotPrivateError:
        raise
    except (OSError, RuntimeError):  # an account without a home, or one that is read-only
        return private_folder(Path(tempfile.gettempdir()) / f"birdflow-{os.getuid()}")


@contextmanager
def _locked_gpu() -> Iterator[str]:
    """A GPU that no training of another process has either, by a lock that ends with its holder."""
    folder = _lock_folder()
    while True:
        for name in _visible_gpus():  # machines may share a home, and an id may hold slashes
            file = f"{socket.gethostname()}-gpu-{name.replace('/', '_')}.lock"
            with open(open_private(folder / file)) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield name
                return
        check()
        time.sleep(WATCH_S)


@contextmanager
def _a_gpu() -> Iterator[dict[str, str]]:
    """What the environment of a training must say to have a GPU to itself; nothing on a CPU.

    All runs of a server share as many slots as its limit has; a training that has one goes on
    while the server is away.
    """
    import torch

    if not torch.cuda.is_available():
        yield {}
        return
    have_gpu_limit()
    with (
        concurrency(
            LIMIT, lease_duration=LEASE_S, strict=True, raise_on_lease_renewal_failure=False
        ),
        _locked_gpu() as gpu,
    ):
        yield {"CUDA_VISIBLE_DEVICES": gpu}


def have_gpu_limit() -> None:
    """A slot per GPU of this machine on a server that has no such limit, at least one."""
    import torch

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(LIMIT)
        except ObjectNotFound:
            slots = max(1, torch.cuda.device_count())
            with suppress(ObjectAlreadyExists):  # another training came first
                client.create_global_concurrency_limit(
                    GlobalConcurrencyLimitCreate(name=LIMIT, limit=slots)
                )


class TrainingFailed(ValueError):
    """The training process refused to go on; the message is its own."""


def train_in_process(step: Step, store: str | Path, progress: Progress, refresh: bool) -> None:
    """Make the step's artifact in a process of its own.

    Raises TrainingFailed for what another try can't mend, Recoverable for what it may, OSError
    for the system's errors (can_recover tells which), Stopped where the run is to end.
    """
    import torch

    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with (
        _a_gpu() as gpu,
        subprocess.Popen(
            [*WORKER, str(store), *["--refresh"] * refresh],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | threads | gpu,
            start_new_session=True,  # Ctrl-C is for the run, which ends its trainings
        ) as process,
    ):
        assert process.stderr
        errors: deque[str] = deque(maxlen=200)
        listener = threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True)
        listener.start()
        try:
            failure = _follow(process, step, progress)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        listener.join(timeout=5)
    check()
    if code != 0:
        raise _error(code, failure, "".join(errors).strip())


def _follow(
    process: subprocess.Popen[str], step: Step, progress: Progress
) -> dict[str, Any] | None:
    """Hand the step over and pass progress on until the output ends; the failure that it told."""
    assert process.stdin
    assert process.stdout
    failure = None
    last_output = [time.monotonic()]
    threading.Thread(target=_watch, args=(process, last_output), daemon=True).start()
    try:
        process.stdin.write(step_to_json(step) + "\n")
        process.stdin.flush()
    except BrokenPipeError:  # a process that is dead already tells why below
        with suppress(BrokenPipeError):  # what is left in the buffer is not tried again later
            process.stdin.close()
    for text in process.stdout:
        last_output[0] = time.monotonic()
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a library's own chatter
        if "error" in line:
            failure = line
        else:
            progress(line["done"], line["total"], line["text"])
    return failure


def _watch(process: subprocess.Popen[str], last_output: list[float]) -> None:
    """End the process when the run is stopped, or has written nothing for too long."""
    while process.poll() is None:
        if stopping.wait(WATCH_S) or time.monotonic() - last_output[0] > STALLED_AFTER_S:
            process.kill()
            return


def _error(code: int, failure: dict[str, Any] | None, errors: str) -> Exception:
    """What to raise for a process that ended with `code`, and what it told of it, if anything."""
    if failure is None:
        last = errors.splitlines()[-1] if errors else "killed, or out of memory?"
        error: Exception = Recoverable(f"the training process died (exit code {code}): {last}")
    elif failure["errno"] is not None:
        error = OSError(failure["errno"], failure["error"])
    elif failure["kind"] == PASSING:
        error = Recoverable(failure["error"])
    else:
        error = TrainingFailed(failure["error"])
    if errors:
        error.add_note(errors)
    return error


train = stage_task("train", train_in_process)
