"""Training: sampling, augmentation, losses, the training loop and its checkpoints.

    training_set.py   read mels, targets and pseudo-labels into arrays
    data.py           recordings of an epoch, and where their crops begin
    segments.py       pseudo-labelled segments of soundscapes
    targets.py        targets of crops whose clips a teacher labelled
    background.py     soundscapes under clips
    mix.py            mixing with pseudo-labelled segments and within a batch
    augment.py        augmentations of whole batches
    distort.py        augmentations of one clip
    batch.py          all of these, in order: make_batch
    loss.py           LOSSES; ranking.py and pair_counts.py: those on the order of logits
    optimisation.py   learning rate, averages of weights
    epoch.py, loop.py one epoch; all of them
    validate.py       scores on held-out recordings
    checkpoint.py     the state of a training on disk
    history.py        a row for each epoch
    attribution.py    whose recordings trained a model

Example:
    >>> import torch
    >>> from birdcore.training import soft_auc
    >>> soft_auc(torch.tensor([[2.0], [-2.0]]), torch.tensor([[1.0], [0.0]]))
    tensor(0.0045)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from birdcore.training.augment import mixup, spec_augment, sumix
    from birdcore.training.batch import Batch, make_batch
    from birdcore.training.loop import begin_training, train_epochs
    from birdcore.training.loss import LOSSES, bce, build_loss, focal
    from birdcore.training.ranking import soft_auc
    from birdcore.training.training_set import TrainingFiles, TrainingSet, read_training_set

_MODULES = {
    "mixup": "augment", "spec_augment": "augment", "sumix": "augment", "Batch": "batch",
    "make_batch": "batch", "begin_training": "loop", "train_epochs": "loop", "LOSSES": "loss",
    "bce": "loss", "build_loss": "loss", "focal": "loss", "soft_auc": "ranking",
    "TrainingFiles": "training_set", "TrainingSet": "training_set",
    "read_training_set": "training_set",
}  # fmt: skip

__all__ = [
    "LOSSES", "Batch", "TrainingFiles", "TrainingSet", "bce", "begin_training", "build_loss",
    "focal", "make_batch", "mixup", "read_training_set", "soft_auc", "spec_augment", "sumix",
    "train_epochs",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is used first: these modules import torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
