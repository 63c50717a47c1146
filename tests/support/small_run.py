"""The results folder of a run with small untrained models, for what reads finished runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from birdcore.config import Predict
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.inference.trained_model import ENSEMBLE_FILE, EnsembleSpec, TeacherWindows
from birdcore.models.input import InputSpec, save_input
from birdcore.models.probe import Probe, ProbeSpec, save_probe
from birdcore.models.sed import ModelSpec, SedModel, save_model
from birdcore.teachers.class_mapping import Mapped
from birdcore.teachers.external_teacher import ExternalTeacher
from birdcore.teachers.teacher_use import TeacherUse

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
    channels = mel.input_channels
    shape = ModelSpec(
        backbone=backbone,
        classes=CLASSES,
        n_mels=mel.bins // channels,
        input_channels=channels,
        dropout=0.0,
    )
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
    backbone: str = "test_resnet",
    normalise: str = "zscore",
    frames: int = 313,
) -> EnsembleSpec:
    """Results of a run.

    Args:
        folder: The new folder.
        members: The folders of each member's models, below `model/`; each gets a seed of its own.
        weights: Of the members.
        predict: Windows and smoothing.
        n_mels: Bins of the mel that the models read.
        front_end: What they read instead.
        backbone: Of all of them.
        normalise: How all scale their inputs.
        frames: Of their windows.
    """
    spec = EnsembleSpec(
        weights=dict(weights),
        members={name: tuple(models) for name, models in members.items()},
        predict=predict,
    )
    for seed, name in enumerate(name for models in spec.members.values() for name in models):
        write_model(
            folder / "model" / name,
            seed,
            frames=frames,
            n_mels=n_mels,
            front_end=front_end,
            backbone=backbone,
            normalise=normalise,
        )
    (folder / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    (folder / "ATTRIBUTION.csv").write_text("recording,license\na.ogg,cc0\n")
    (folder / "MODEL_CARD.md").write_text("# Model card\n")
    return spec


def write_probe_run(
    folder: Path,
    teacher: ExternalTeacher,
    members: Mapping[str, Sequence[str]],
    predict: Predict,
    weights: Mapping[str, float | list[float]] | None = None,
    networks: Mapping[str, Sequence[str]] | None = None,
) -> EnsembleSpec:
    """Results of a run with probes of `CLASSES` on a teacher, of which it knows the first two, one
    of them by its genus.

    Args:
        folder: The new folder.
        teacher: Whose embeddings they read.
        members: The folders of each member's probes; each gets a seed and a form of its own.
        predict: Windows and smoothing.
        weights: Of the members; equal ones where not given.
        networks: Members that are no probes.
    """
    known, *_, other = teacher.classes
    genus = tuple(name for name in teacher.classes if name.split()[0] == other.split()[0])
    use = TeacherUse(
        teacher=teacher.name,
        model=dict(teacher.files),
        species=(known, f"{other.split()[0]} novus", "Nemobius sylvestris"),
        mapped={f"{other.split()[0]} novus": Mapped("genus", genus)},
    )
    for seed, name in enumerate(name for names in members.values() for name in names):
        own = folder / "model" / name
        own.mkdir(parents=True)
        hidden, prior = ((5, 0.0), (0, 0.25), (4, 1.0))[seed % 3]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            probe = Probe(
                ProbeSpec(
                    classes=CLASSES, width=teacher.width, hidden=hidden, own=1 - prior / 2,
                    prior=prior, pool="mean",
                )
            )  # fmt: skip
            probe.known[2] = False
            probe.scale.mul_(3.0)
            probe.classifier.bias.data.zero_()
        save_probe(own, probe)
        use.write(own)
    spec = EnsembleSpec(
        weights=dict(weights or dict.fromkeys([*members, *(networks or {})], 1.0)),
        members={name: tuple(models) for name, models in (networks or {}).items()},
        probes={name: tuple(names) for name, names in members.items()},
        windows=TeacherWindows(hop_s=teacher.window_s / 2, frame_rate=31.25),
        predict=predict,
    )
    for seed, name in enumerate(name for models in spec.members.values() for name in models):
        write_model(folder / "model" / name, seed)
    (folder / "model" / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    (folder / "ATTRIBUTION.csv").write_text("recording,license\na.ogg,cc0\n")
    (folder / "MODEL_CARD.md").write_text("# Model card\n")
    return spec
