"""Fixtures for stages: a store, shards of files, mels of waveforms and untrained models in it."""

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from birdcore.config import Clean, Mel
from birdcore.features.mel import MelSpec
from birdcore.models.input import InputSpec, save_input
from birdcore.models.sed import ModelSpec, SedModel, save_model
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.stages import clean, mel
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.files import file_sha256
from birdcore.store.store import Job, Store
from birdcore.training.records import COLUMNS, FILE

SMALL_MEL = Mel(n_mels=32)
MadeShard: TypeAlias = Callable[..., Shard]
MadeMel: TypeAlias = Callable[..., Artifact]
MadeModel: TypeAlias = Callable[..., Ref]
Published: TypeAlias = Callable[..., Ref]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def shard_of() -> MadeShard:
    """All files below `root/kind` as one shard, also such as can't be read."""

    def make(root: Path, kind: str, names: Sequence[str] | None = None) -> Shard:
        paths = sorted(p for p in (root / kind).rglob("*.*") if p.suffix)
        files = [SourceFile(p.relative_to(root).as_posix(), 0, _digest(p)) for p in paths]
        chosen = [f for f in files if names is None or f.path in names]
        return Shard(kind, 0, tuple(chosen), LAYOUTS[0].folders.get(kind, "labelled"))

    return make


def _digest(path: Path) -> str:
    if path.is_file():
        return file_sha256(path)
    return hashlib.sha256(path.name.encode()).hexdigest()


@pytest.fixture
def mel_of(store: Store, tmp_path: Path, shard_of: MadeShard) -> MadeMel:
    """The mel shard of waveforms (name: samples at 32 kHz), through clean and mel."""

    def make(
        waveforms: Mapping[str, np.ndarray],
        kind: str = "test_soundscapes",
        settings: Mel = SMALL_MEL,
        rate: int = 32_000,
    ) -> Artifact:
        names = [f"{kind}/{name}.wav" for name in waveforms]
        for name, samples in zip(names, waveforms.values(), strict=True):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            sf.write(tmp_path / name, samples, rate, subtype="FLOAT")
        shard = shard_of(tmp_path, kind, names)
        cleaning = Clean(remove="none")
        cleaned = store.make(clean.step(shard, cleaning, {}, tmp_path), clean.run)
        return store.make(mel.step(shard, cleaned.ref, settings, cleaning, tmp_path), mel.run)

    return make


@pytest.fixture
def publish(store: Store) -> Published:
    """An artifact of one JSON file or table per name, made of nothing: what a stage reads."""

    def make(stage: str, files: Mapping[str, Any], **config: Any) -> Ref:
        def run(job: Job) -> Metrics:
            for name, content in files.items():
                if isinstance(content, pd.DataFrame):
                    content.to_parquet(job.folder / name, index=False)
                else:
                    (job.folder / name).write_text(json.dumps(content))
            return {}

        content = hashlib.sha256(pickle.dumps(files)).hexdigest()
        return store.make(Step(stage, 1, stage, {"content": content, **config}), run).ref

    return make


@pytest.fixture
def model_of(store: Store) -> MadeModel:
    """An untrained model whose answers vary, published as a round would."""

    def make(
        seed: int = 0,
        classes: Sequence[str] = ("a", "b", "c"),
        backbone: str = "test_resnet",
        frames: int = 313,
        held_out: pd.DataFrame | None = None,
        spec: MelSpec | None = None,
        learnt: Sequence[str] = (),
        fold: int | None = None,
    ) -> Ref:
        shape = ModelSpec(backbone=backbone, classes=tuple(classes), n_mels=32, dropout=0.0)
        mel = spec or SMALL_MEL.spec()
        scale = mel.scale("uint8")
        reads = InputSpec(mel=mel, scale=scale, frames=frames, normalise="zscore", top_db=80.0)

        def run(job: Job) -> Metrics:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = _varied(SedModel(shape).eval())
            save_model(job.folder, model, shape)
            save_input(job.folder, reads)
            credits = pd.DataFrame({"recording": learnt}).reindex(columns=COLUMNS, fill_value="")
            credits.to_csv(job.folder / FILE, index=False)
            if held_out is not None:
                held_out.to_parquet(job.folder / "held_out.parquet", index=False)
            return {}

        config = {"seed": seed, "shape": shape.model_dump(), "reads": reads.model_dump()}
        config |= {"learnt": list(learnt)} if learnt else {}
        config |= {} if fold is None else {"fold": fold}
        return store.make(Step("train", 1, f"train {seed}", config), run).ref

    return make


def _varied(model: SedModel) -> SedModel:
    """The model with its last layer scaled so that logits of a swelling noise spread around 0."""
    swell = torch.arange(320).div(20).sin().expand(2, 1, 32, -1)
    cla = model.head.cla
    with torch.no_grad():
        logits = model(swell + 0.5 * torch.randn(swell.shape)).framewise_logit
        mean, std = logits.mean(dim=(0, 2)), logits.std(dim=(0, 2))
        cla.weight /= std[:, None, None]
        cla.bias.sub_(mean).div_(std)
    return model
