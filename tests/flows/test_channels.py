"""A run in which every channel is a recording of its own, from folds to the page."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.audio.channels import file_of
from birdcore.config import RecipeError, read_recipe
from birdcore.sources.birdclef import scan
from birdcore.stages.table import make
from birdcore.store.artifact import Artifact
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from birdcore.training.records import FILE, read_attribution
from flows.dag import build_dag

SETTINGS = ('mel.channels="each"', "round.0.epochs=1", "folds.train=[0]")


def in_stereo(root: Path) -> str:
    """All recordings but the one that is named get a second channel: half as loud, in noise."""
    mono = min((root / "train_audio").rglob("*.ogg"))
    for seed, path in enumerate(sorted(root.rglob("*.ogg"))):
        if path != mono:
            samples, rate = sf.read(path)
            noise = 0.05 * np.random.default_rng(seed).standard_normal(len(samples))
            sf.write(path, np.stack([samples, samples / 2 + noise], axis=1), rate)
    return mono.relative_to(root).as_posix()


@dataclass(frozen=True)
class Made:
    data: Path
    mono: str
    artifacts: dict[str, Artifact]

    def table(self, step: str, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.artifacts[step] / f"{name}.parquet")


@pytest.fixture(scope="module")
def made(tiny_data: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("channels")
    data, store = Path(shutil.copytree(tiny_data, root / "data")), Store(root / "store")
    mono = in_stereo(data)
    dag = build_dag(read_recipe(tiny_recipe, SETTINGS), scan(data, store), store, keep_shards=True)
    artifacts = {step.name: make(step, store, no_progress, refresh=False) for step in dag.steps}
    return Made(data, mono, artifacts)


def test_catalogue_and_folds_are_of_files(made: Made) -> None:
    for step, table in (("catalog", "recordings"), ("folds", "folds")):
        names = made.table(step, table)["recording"]
        assert not names.str.contains("#").any()


def test_channels_are_held_out_with_their_file(made: Made) -> None:
    folds = made.table("folds", "folds").set_index("recording")["fold"]
    model = made.artifacts["train first test_resnet fold 0"]
    held_out = pd.read_parquet(model / "held_out.parquet")["recording"]
    assert held_out.is_unique
    second, files = held_out.str.endswith("#channel=2"), held_out.map(file_of)
    assert set(held_out[second].map(file_of)) == set(held_out[~second].map(file_of)) - {made.mono}
    assert set(files) == set(folds.index[folds == 0])
    trained = read_attribution(model / FILE)["recording"]
    assert trained.is_unique  # of files, each once
    assert set(trained) == set(folds.index) - set(files)


def test_soundscapes_are_labelled_channel_by_channel(made: Made) -> None:
    labels = [one for name, one in made.artifacts.items() if name.startswith("label ")]
    names = pd.concat(pd.read_parquet(one / "labels.parquet") for one in labels)["recording"]
    assert names.str.contains("#channel=2").any()


def test_a_row_has_the_highest_probability_over_channels(made: Made) -> None:
    sample = pd.read_csv(made.data / "sample_submission.csv")
    rows = pd.read_csv(made.artifacts["submission"] / "submission.csv", index_col="row_id")
    assert list(rows.index) == list(sample["row_id"])
    of_round = pd.read_csv(made.artifacts["submission"] / "rounds/first.csv", index_col="row_id")
    parts = [one for name, one in made.artifacts.items() if name.startswith("predict first")]
    found = pd.concat(pd.read_parquet(one / "predictions.parquet") for one in parts)
    stems = found["recording"].map(lambda name: Path(file_of(name)).stem)
    assert (stems.value_counts() == 6).all()  # three segments of two channels
    row_ids = stems + "_" + found["end"].astype(str)
    for row_id, group in found.groupby(row_ids.to_numpy()):
        highest = np.stack(group["probabilities"].to_list()).max(axis=0)
        np.testing.assert_allclose(of_round.loc[row_id], highest, rtol=1e-5)


def test_results_are_scored_and_shown(made: Made) -> None:
    assert made.artifacts["score"].metrics["classes_scored"]
    page = (made.artifacts["report"] / "index.html").read_text()
    assert "data:image/png" in page


def test_an_external_teacher_is_refused(tmp_path: Path, tiny_recipe: Path) -> None:
    path = tmp_path / "r.toml"
    teacher = '[external_teacher]\nteacher = "birdnet"\n'
    path.write_text(tiny_recipe.read_text() + teacher)
    read_recipe(path)
    with pytest.raises(RecipeError, match=r'mel\.channels = "each": does not go with'):
        read_recipe(path, ('mel.channels="each"',))
