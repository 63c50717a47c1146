"""Checkpoints: the state of a training, written after every epoch, so that a kill costs one epoch.

A checkpoint's name holds its epoch and the sha256 of its bytes. The one before is kept, so that a
training whose last checkpoint is damaged resumes from there; one that is damaged, or that belongs
to another training, is renamed to end in `.damaged`.

Generators are seeded from (seed, epoch), so that their state needs no saving.
"""

import hashlib
import io
import re
from collections.abc import Mapping
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
from birdcore.store.files import CHECKPOINTS, file_sha256, write_bytes

NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.pt")
DAMAGED = ".damaged"
KEPT = 2
"""The last one, and the one to resume from where that is damaged."""


@dataclass
class Training:
    """The state of one training.

    Attributes:
        model: in training.
        average: its moving average, if there is one.
        optimizer: of the model.
        key: of the step; a checkpoint of another key does not fit.
        epoch: the next one to run.
        best: the best epochs so far, best first: `epoch`, `auc` (on held-out recordings) and
            `weights`, on the model's device.
        history: a row for each finished epoch.
    """

    model: SedModel
    average: AveragedModel | None
    optimizer: Optimizer
    key: str = ""
    epoch: int = 0
    best: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def evaluated(self) -> SedModel:
        """The model that is validated and kept: the average, where there is one."""
        if self.average is None:
            return self.model
        return cast(SedModel, self.average.module)


def keep_best(training: Training, auc: float | None, count: int) -> None:
    """Remember the weights of the epoch just run if it is among the best `count`.

    Validated epochs come first, by AUC; of equal ones, and of those not validated, the latest.
    """
    weights = {name: value.clone() for name, value in training.evaluated.state_dict().items()}
    training.best.append({"epoch": training.epoch, "auc": auc, "weights": weights})
    training.best.sort(key=lambda e: (e["auc"] is not None, e["auc"] or 0.0, e["epoch"]))
    training.best = training.best[: -count - 1 : -1]


def save_checkpoint(folder: Path, training: Training) -> None:
    """Write, sync, rename: a killed save leaves the earlier checkpoints.

    The oldest is deleted once the new one has been read back as it was written.
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
    """Resume from the last checkpoint in the folder that is whole and fits, if there is one.

    Args:
        folder: of the checkpoints.
        training: changed in place; left as it is where no checkpoint fits.

    Returns:
        Names of the later checkpoints that do not fit; they are renamed.
    """
    for killed in folder.glob(f".{CHECKPOINTS}.*"):
        killed.unlink()
    set_aside = []
    for path in _checkpoints(folder):
        saved = _read(path)
        if saved is not None and _fits(saved, training):
            _restore(saved, training)
            break
        set_aside.append(path.name)
        with suppress(OSError):  # not renamed, it is refused the next time as well
            path.rename(f"{path}{DAMAGED}")
    return set_aside


def _checkpoints(folder: Path) -> list[Path]:
    """The latest first."""
    return sorted((p for p in folder.glob(CHECKPOINTS) if NAME.fullmatch(p.name)), reverse=True)


def _is_whole(path: Path) -> bool:
    named = NAME.fullmatch(path.name)
    return named is not None and named[2] == file_sha256(path)


def _read(path: Path) -> Mapping[str, Any] | None:
    """The content of a file, on the CPU; None where it is not what was written."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True) if _is_whole(path) else None
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, UnpicklingError, ValueError):
        return None
    return saved if isinstance(saved, dict) else None


def _fits(saved: Mapping[str, Any], training: Training) -> bool:
    """Whether all of it fits, checked before loading: a load that fails halfway can't be undone."""
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
                _shapes(epoch["weights"]) == _shapes(training.evaluated.state_dict())
                for epoch in saved["best"]
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
    """Load into the tensors that are there, on their devices; torch moves an optimizer's state."""
    training.model.load_state_dict(saved["model"])
    if training.average is not None:
        training.average.load_state_dict(saved["average"])
    training.optimizer.load_state_dict(saved["optimizer"])
    device = next(training.model.parameters()).device
    training.epoch, training.history = saved["epoch"], saved["history"]
    training.best = [
        epoch | {"weights": {name: value.to(device) for name, value in epoch["weights"].items()}}
        for epoch in saved["best"]
    ]
