"""Where a training stands, on disk after every epoch, so that a kill costs one epoch at most.

Randomness is drawn anew from (seed, epoch), so that nothing of a generator needs saving.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from birdcore.files import replacing
from birdcore.model.sed import SedModel

CHECKPOINT = "checkpoint.pt"


@dataclass
class Training:
    """A model in the middle of its training; `epoch` is the next one to run.

    `best` holds the best epochs so far, best first: their number, validation AUC and weights.
    `history` has a row for each finished epoch.
    """

    model: SedModel
    average: AveragedModel | None
    optimizer: Optimizer
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

    Batch-norm statistics are averaged like weights, counters are those of the best epoch.
    """
    weights: list[dict[str, Tensor]] = [one["weights"] for one in best]
    return {
        name: torch.stack([one[name] for one in weights]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in weights[0].items()
    }


def save_checkpoint(folder: Path, training: Training) -> None:
    """Write, sync, rename: a killed save leaves the one before."""
    temporary = folder / f"{CHECKPOINT}.part"
    # A file of ours: torch's own says not which error of the system it met.
    with replacing(folder / CHECKPOINT, temporary), temporary.open("wb") as file:
        torch.save(
            {
                "model": training.model.state_dict(),
                "average": training.average.state_dict() if training.average else None,
                "optimizer": training.optimizer.state_dict(),
                "epoch": training.epoch,
                "best": training.best,
                "history": training.history,
            },
            file,
        )


def load_checkpoint(folder: Path, training: Training) -> None:
    """Go on from the checkpoint in the folder, if there is one that can be read."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError, ValueError):
        return  # cut or damaged: the training starts anew
    training.model.load_state_dict(saved["model"])
    if training.average is not None:
        training.average.load_state_dict(saved["average"])
    training.optimizer.load_state_dict(saved["optimizer"])
    training.epoch = saved["epoch"]
    training.best = saved["best"]
    training.history = saved["history"]


def drop_checkpoint(folder: Path) -> None:
    for path in folder.glob(f"{CHECKPOINT}*"):
        path.unlink()
