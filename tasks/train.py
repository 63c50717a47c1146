"""The task `train`: see `birdcore.learn.train`; one process per model, one model per GPU."""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from contextlib import nullcontext
from pathlib import Path

import torch

from birdcore.artifact import Progress, Step
from birdcore.learn import train as stage
from birdcore.learn.worker import FULL_DEVICE, step_to_json
from tasks.stage import Recoverable, stage_task

STALLED_AFTER_S = 6 * 3600
"""A training that finishes no epoch for so long is ended, and goes on from its checkpoint."""

_gpus = threading.BoundedSemaphore(torch.cuda.device_count()) if torch.cuda.is_available() else None


class TrainingFailed(ValueError):
    """The training process refused to go on; the message is its own."""


def train_in_process(step: Step, store: Path, progress: Progress, refresh: bool) -> None:
    """Make the step's artifact in a process of its own.

    Raises TrainingFailed for what another try can't mend, Recoverable for what it may.
    """
    command = [sys.executable, "-m", "birdcore.learn.worker", str(store)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with (
        _gpus or nullcontext(),
        subprocess.Popen(
            command + ["--refresh"] * refresh,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        ) as process,
    ):
        assert process.stdin
        assert process.stderr
        errors: deque[str] = deque(maxlen=200)
        listener = threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True)
        listener.start()
        try:
            process.stdin.write(step_to_json(step) + "\n")
            process.stdin.flush()
            failure = _follow(process, progress)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        listener.join(timeout=5)
    if code == 0:
        return
    if failure is None:
        raise Recoverable(
            f"{step.name}: the training process died (exit code {code}): "
            f"{''.join(errors)[-2000:].strip() or 'no message; killed, or out of memory?'}"
        )
    kind, message = failure
    if kind == FULL_DEVICE:
        raise Recoverable(f"{step.name}: {message}")
    raise TrainingFailed(f"{step.name}: {message}")


def _follow(process: subprocess.Popen[str], progress: Progress) -> tuple[str, str] | None:
    """Pass progress on until the output ends; the failure that it told, if any."""
    assert process.stdout
    failure = None
    watch = _end_later(process)
    for text in process.stdout:
        watch.cancel()
        watch = _end_later(process)
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a library's own chatter
        if "error" in line:
            failure = line["kind"], line["error"]
        else:
            progress(line["done"], line["total"], line["text"])
    watch.cancel()
    return failure


def _end_later(process: subprocess.Popen[str]) -> threading.Timer:
    timer = threading.Timer(STALLED_AFTER_S, process.kill)
    timer.daemon = True
    timer.start()
    return timer


train = stage_task("train", stage.run, make=train_in_process)
