"""The results folder of a run with small untrained models, for what reads finished runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from birdcore.config import Predict
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.inference.trained_model import ENSEMBLE_FILE, EnsembleSpec
from birdcore.models.input import InputSpec, save_input
from birdcore.models.sed import ModelSpec, SedModel, save_model

CLASSES = ("a", "b", "c")


def write_model(
    folder: Path,
    seed: int,
    frames: int = 313,
    normalise: str = "zscore",
    n_mels: int = 32,
    front_end: FrontEnd | None = None,
    backbone: str = "test_resnet",
) -> tuple[SedModel, InputSpec]:
    """A model of `CLASSES` whose answers differ from class to class and from moment to moment."""
    mel = front_end or MelSpec(n_mels=n_mels)
    shape = ModelSpec(backbone=backbone, classes=CLASSES, n_mels=mel.bins, dropout=0.0)
    scale = mel.scale("uint8")
    reads = InputSpec(mel=mel, scale=scale, frames=frames, normalise=normalise, top_db=80.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SedModel(shape).eval()
        with torch.no_grad():
            model.head.cla.weight.mul_(30.0)
            model.head.cla.bias.zero_()
    folder.mkdir(parents=True)
    save_model(folder, model, shape)
    save_input(folder, reads)
    return model, reads


def write_run(
    folder: Path,
    members: Mapping[str, Sequence[str]],
    weights: Mapping[str, float | list[float]],
    predict: Predict,
    n_mels: int = 32,
    front_end: FrontEnd | None = None,
) -> EnsembleSpec:
    """Results of a run.

    Args:
        folder: The new folder.
        members: The folders of each member's models, below `model/`; each gets a seed of its own.
        weights: Of the members.
        predict: Windows and smoothing.
        n_mels: Bins of the mel that the models read.
        front_end: What they read instead.
    """
    spec = EnsembleSpec(
        weights=dict(weights),
        members={name: tuple(models) for name, models in members.items()},
        predict=predict,
    )
    for seed, name in enumerate(name for models in spec.members.values() for name in models):
        write_model(folder / "model" / name, seed, n_mels=n_mels, front_end=front_end)
    (folder / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    (folder / "ATTRIBUTION.csv").write_text("recording,license\na.ogg,cc0\n")
    (folder / "MODEL_CARD.md").write_text("# Model card\n")
    return spec
