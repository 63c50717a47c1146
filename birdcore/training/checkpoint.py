"""Where a training stands, on disk after every epoch, so that a kill costs one epoch at most.

A checkpoint's name says its epoch and the sha256 of its bytes. The one before stays beside it, so
that a training whose last one is damaged goes on from there; one that is damaged, or that is of
another training, is set aside under a name that ends in `.damaged`.

Randomness is drawn anew from (seed, epoch), so that nothing of a generator needs saving.
"""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from birdcore.models.sed import SedModel
from birdcore.store.files import file_sha256, write_bytes

CHECKPOINTS = "checkpoint-*.pt"
NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.pt")
DAMAGED = ".damaged"
KEPT = 2
"""The last one, and the one to go on from where that is damaged."""


@dataclass
class Training:
    """A model in the middle of its training; `epoch` is the next one to run.

    `key` is that of the step, which decides all that a checkpoint must fit. `best` holds the best
    epochs so far, best first: their number, validation AUC and weights, on the model's device.
    `history` has a row for each finished epoch.
    """

    model: SedModel
    average: AveragedModel | None
    optimizer: Optimizer
    key: str = ""
    epoch: int = 0
    best: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def judged(self) -> SedModel:
        """The model that is validated and kept: the average, where there is one."""
        if self.average is None:
            return self.model
        return cast(SedModel, self.average.module)


def keep_best(training: Training, auc: float | None, count: int) -> None:
    """Remember the weights of the epoch just run if it is among the best `count`.

    Validated epochs come first, by AUC; of equal ones, and of those not validated, the latest.
    """
    weights = {name: value.clone() for name, value in training.judged.state_dict().items()}
    training.best.append({"epoch": training.epoch, "auc": auc, "weights": weights})
    training.best.sort(key=lambda one: (one["auc"] is not None, one["auc"] or 0.0, one["epoch"]))
    training.best = training.best[: -count - 1 : -1]


def soup(best: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """The mean of several epochs' weights (checkpoint soup; Wortsman et al. 2022, 12th place 2025).

    On the device of the best epoch's. Batch-norm statistics are averaged like weights, counters
    are those of the best epoch.
    """
    weights: list[dict[str, Tensor]] = [one["weights"] for one in best]
    return {
        name: torch.stack([one[name].to(value.device) for one in weights]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in weights[0].items()
    }


def save_checkpoint(folder: Path, training: Training) -> None:
    """Write, sync, rename: a killed save leaves the ones before.

    The oldest goes when the new one is on the disk as it was written, and not before.
    """
    buffer = io.BytesIO()
    torch.save(
        {
            "key": training.key,
            "model": training.model.state_dict(),
            "average": training.average.state_dict() if training.average else None,
            "optimizer": training.optimizer.state_dict(),
            "epoch": training.epoch,
            "best": training.best,
            "history": training.history,
        },
        buffer,
    )
    content = buffer.getbuffer()
    path = folder / f"checkpoint-{training.epoch:05}-{hashlib.sha256(content).hexdigest()}.pt"
    write_bytes(path, content)
    if _is_whole(path):
        for old in _checkpoints(folder)[KEPT:]:
            old.unlink()


def load_checkpoint(folder: Path, training: Training) -> list[str]:
    """Go on from the last checkpoint in the folder that is whole and of this training, if any is.

    The others are set aside, and their names returned; the training is as it was until one fits.
    """
    for killed in folder.glob(f".{CHECKPOINTS}.*"):
        killed.unlink()
    aside = []
    for path in _checkpoints(folder):
        saved = _read(path)
        if saved is not None and _fits(saved, training):
            _restore(saved, training)
            break
        aside.append(path.name)
        with suppress(OSError):  # where nothing can be renamed, it is not read the next time either
            path.rename(f"{path}{DAMAGED}")
    return aside


def drop_checkpoints(folder: Path) -> None:
    for path in folder.glob(f"*{CHECKPOINTS}*"):
        path.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    """The latest first."""
    return sorted((p for p in folder.glob(CHECKPOINTS) if NAME.fullmatch(p.name)), reverse=True)


def _is_whole(path: Path) -> bool:
    named = NAME.fullmatch(path.name)
    return named is not None and named[2] == file_sha256(path)


def _read(path: Path) -> Mapping[str, Any] | None:
    """What the file holds, on the CPU; None where that is not what was written."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True) if _is_whole(path) else None
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, UnpicklingError, ValueError):
        return None
    return saved if isinstance(saved, dict) else None


def _fits(saved: Mapping[str, Any], training: Training) -> bool:
    """Whether all of it is of this training: what torch finds out halfway can't be undone."""
    average, optimizer = training.average, training.optimizer
    try:
        return (
            saved["key"] == training.key
            and 0 < saved["epoch"] == len(saved["history"])
            and _shapes(saved["model"]) == _shapes(training.model.state_dict())
            and _shapes(saved["average"] or {}) == _shapes(average.state_dict() if average else {})
            and _counts(saved["optimizer"]) == _counts(optimizer.state_dict())
            and len(saved["best"]) > 0
            and all(
                _shapes(one["weights"]) == _shapes(training.judged.state_dict())
                for one in saved["best"]
            )
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _counts(optimizer: Mapping[str, Any]) -> list[int]:
    """Parameters in each group."""
    return [len(group["params"]) for group in optimizer["param_groups"]]


def _restore(saved: Mapping[str, Any], training: Training) -> None:
    """Everything to where the training keeps it: torch copies what it loads to the tensors that are
    there, and moves an optimizer's state to its parameters; the rest is ours to move."""
    training.model.load_state_dict(saved["model"])
    if training.average is not None:
        training.average.load_state_dict(saved["average"])
    training.optimizer.load_state_dict(saved["optimizer"])
    device = next(training.model.parameters()).device
    training.epoch, training.history = saved["epoch"], saved["history"]
    training.best = [
        one | {"weights": {name: value.to(device) for name, value in one["weights"].items()}}
        for one in saved["best"]
    ]
