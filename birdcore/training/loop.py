"""The training loop: a model at its first weights, its epochs, and the weights that are kept."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch.optim import AdamW
from torch.utils.tensorboard import SummaryWriter

from birdcore.config.training import TrainConfig
from birdcore.models.input import InputSpec
from birdcore.models.sed import ModelSpec, SedModel, load_model, place_model
from birdcore.training.checkpoint import Training, load_checkpoint, save_checkpoint
from birdcore.training.epoch import derive_seed, run_epoch
from birdcore.training.optimisation import average_checkpoints, ema
from birdcore.training.training_set import TrainingSet
from birdcore.training.validate import held_out_auc


class Trained(NamedTuple):
    """Validation AUC of the kept weights (None without held-out recordings), the epoch at which the
    training resumed, and crops trained on per second since."""

    auc: float | None
    resumed_at: int
    crops_per_s: float


def begin_training(
    config: TrainConfig,
    model_spec: ModelSpec,
    device: torch.device,
    *,
    key: str = "",
    weights: Path | None = None,
    initial: Path | None = None,
) -> Training:
    """A training before its first epoch.

    Args:
        config: the model's settings, fold and seed.
        model_spec: its shape.
        device: where it trains.
        key: of the step; checkpoints of another one do not fit.
        weights: a file of pretrained weights of the backbone.
        initial: folder of a model whose weights it starts from: all of them, or the backbone's
            where classes differ or the config says so (2nd place 2025).
    """
    torch.manual_seed(derive_seed(config.seed, config.fold, 0))
    model = SedModel(model_spec, pretrained=config.pretrained, weights=weights)
    if initial is not None:
        earlier, spec = load_model(initial)
        same_outputs = (spec.classes, spec.embedding) == (model_spec.classes, model_spec.embedding)
        if same_outputs and config.init_weights == "all":
            model.load_state_dict(earlier.state_dict())
        else:
            model.backbone.load_state_dict(earlier.backbone.state_dict())
    place_model(model, device)
    average = ema(model, config.ema) if config.ema else None
    # Fused, an update is one pass over the weights: on a CPU half the time or less.
    optimizer = AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return Training(model, average, optimizer, key)


def train_epochs(
    training: Training,
    data: TrainingSet,
    config: TrainConfig,
    input_spec: InputSpec,
    folder: Path,
    progress: Callable[[int, int, str], None],
) -> Trained:
    """Train to the last epoch, from the last checkpoint in the folder if there is one.

    `training.evaluated` then has the mean of the best epochs' weights.

    Args:
        training: changed in place.
        data: what it is trained and validated on.
        config: the model's.
        input_spec: the model's input.
        folder: for checkpoints, and TensorBoard events in `tb/`.
        progress: called with epochs done, epochs in all, and a text.
    """
    began = time.monotonic()
    for name in load_checkpoint(folder, training):
        text = f"set aside {name}: damaged, or of another training"
        progress(0, config.epochs, text)
    resumed_at = training.epoch
    with SummaryWriter(str(folder / "tb"), purge_step=training.epoch) as board:
        for epoch in range(training.epoch, config.epochs):
            run_epoch(training, data, config, input_spec, epoch)
            row = training.history[-1]
            for key in ("loss", "auc", "learning_rate"):
                if row[key] is not None:
                    board.add_scalar(key, row[key], epoch)
            save_checkpoint(folder, training)
            auc_text = "" if row["auc"] is None else f", AUC {row['auc']:.4f}"
            progress(epoch + 1, config.epochs, f"loss {row['loss']:.4f}{auc_text}")
    best = training.best
    training.evaluated.load_state_dict(average_checkpoints([epoch["weights"] for epoch in best]))
    auc = best[0]["auc"]
    if len(best) > 1 and len(data.held_out):
        auc = held_out_auc(training.evaluated, data, input_spec)
    crops = sum(row["crops"] for row in training.history[resumed_at:])
    return Trained(auc, resumed_at, round(crops / max(time.monotonic() - began, 1e-9), 1))
