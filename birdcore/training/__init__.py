"""Training: sampling, augmentation, losses, the training loop and its checkpoints.

    training_set.py   read mels, targets and pseudo-labels into arrays
    data.py           recordings of an epoch, and where their crops begin
    items.py          clips and annotated segments that train and validate
    annotated.py      crops of annotated recordings and their labels; intervals.py: what they touch
    frames.py         targets of the moments of such crops
    segments.py       pseudo-labelled segments of soundscapes
    companions.py     annotated segments that are mixed in as these are
    targets.py        targets of crops whose clips a teacher labelled
    background.py     soundscapes under clips
    mix.py            mixing with such segments and within a batch
    augment.py        augmentations of whole batches
    distort.py        augmentations of one clip
    batch.py          all of these, in order: make_batch
    loss.py           LOSSES; ranking.py and pair_counts.py: those on the order of logits
    optimisation.py   learning rate, averages of weights
    epoch.py, loop.py one epoch; all of them
    validate.py       scores on held-out recordings
    checkpoint.py     the state of a training on disk
    records.py        whose recordings trained a model, and a row for each epoch

Example:
    >>> import torch
    >>> from birdcore.training import soft_auc
    >>> soft_auc(torch.tensor([[2.0], [-2.0]]), torch.tensor([[1.0], [0.0]]))
    tensor(0.0045)
"""

from birdcore.late_imports import late_imports

__all__ = [
    "LOSSES", "Batch", "TrainingFiles", "TrainingSet", "bce", "begin_training", "build_loss",
    "focal", "make_batch", "mixup", "read_training_set", "soft_auc", "spec_augment", "sumix",
    "train_epochs",
]  # fmt: skip

__getattr__ = late_imports(
    __name__,
    {
        "augment": ["mixup", "spec_augment", "sumix"],
        "batch": ["Batch", "make_batch"],
        "loop": ["begin_training", "train_epochs"],
        "loss": ["LOSSES", "bce", "build_loss", "focal"],
        "ranking": ["soft_auc"],
        "training_files": ["TrainingFiles"],
        "training_set": ["TrainingSet", "read_training_set"],
    },
)
