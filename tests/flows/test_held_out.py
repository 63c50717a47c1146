"""No label leaks, through any number of rounds: read from what the rounds published."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.sources.folds import soundscape_fold
from birdcore.stages import catalog, clean, folds, label, mel, train
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store
from birdcore.training.records import FILE
from flows.dag import build_dag

Models: TypeAlias = list[Artifact]
FOLDS = 3
RUN = {
    "catalog": catalog.run, "clean": clean.run, "mel": mel.run, "folds": folds.run,
    "label": label.run, "train": train.run,
}  # fmt: skip
ROUNDS = """
[[round]]
name = "third"
backbones = ["test_resnet"]
teacher = "second"
epochs = 1
batch = 4
crop_s = 2.0
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One for all runs: what they have in common, the first round above all, is made once."""
    return Store(tmp_path_factory.mktemp("held_out") / "store")


@pytest.fixture(scope="module")
def train_rounds(tiny_data: Path, tiny_recipe: Path, store: Store) -> Callable[[str], Models]:
    """Train three rounds with some teachers; the second of them starts from the first."""

    def train_rounds(teachers: str) -> Models:
        recipe = store.root.with_name("three.toml")
        text = tiny_recipe.read_text().replace("[score]", f"{ROUNDS}\n[score]")
        recipe.write_text(text.replace('label.teachers = "all"\n', ""))
        settings = [f"folds.count={FOLDS}", "round.0.epochs=1", "round.1.init_from=first"]
        settings += [f"round.{at}.label.teachers={teachers}" for at in (1, 2)]
        settings += [f"round.{at}.label.source=both" for at in (1, 2)]
        settings += [f'round.{at}.backbones=["test_resnet"]' for at in range(3)]
        chosen = read_recipe(recipe, settings)
        dag = build_dag(chosen, scan(tiny_data, store), store, keep_shards=True)
        steps = [step for step in dag.steps if step.stage in RUN]
        made = [store.make(step, RUN[step.stage]) for step in steps]
        models = [one for one in made if one.manifest.stage == "train"]
        assert len(models) == 3 * FOLDS
        return models

    return train_rounds


def behind(model: Artifact, store: Store, *, teachers: bool) -> Iterator[Artifact]:
    """The models whose weights a model began with and, if asked, all who taught it."""
    yield model
    inputs = model.manifest.inputs
    wanted = inputs.get("start", []) + (
        inputs.get("labels", []) + inputs.get("clip_labels", []) if teachers else []
    )
    for name in wanted:
        before = store.get(Ref(*name.split("/")))
        if before.manifest.stage == "label":
            of_label = [store.get(Ref(*n.split("/"))) for n in before.manifest.inputs["teacher"]]
        else:
            of_label = [before]
        for one in of_label:
            yield from behind(one, store, teachers=teachers)


def held_out(model: Artifact) -> set[str]:
    return set(pd.read_parquet(model / "held_out.parquet")["recording"])


def heard(models: Iterator[Artifact]) -> set[str]:
    return {name for one in models for name in pd.read_csv(one / FILE)["recording"]}


def test_own_teachers_never_train_on_held_out_recordings(
    store: Store, train_rounds: Callable[[str], Models]
) -> None:
    models = train_rounds("own")
    catalogs = store.root.glob("catalog/*/recordings.parquet")
    content = pd.read_parquet(next(catalogs)).set_index("recording")["sha256"]
    for model in models:
        judged, learnt = held_out(model), heard(behind(model, store, teachers=True))
        assert judged
        assert learnt
        assert not judged & learnt
        assert not set(content[sorted(judged)]) & set(content[sorted(learnt)])


@pytest.mark.parametrize("teachers", ["all", "out-of-fold"])
def test_other_teachers_keep_held_out_recordings_from_model_and_its_start(
    store: Store, train_rounds: Callable[[str], Models], teachers: str
) -> None:
    models = train_rounds(teachers)
    for model in models:
        assert held_out(model)
        assert not held_out(model) & heard(behind(model, store, teachers=False))
    # The setting says so: these teachers did hear it. Without them this test could not fail.
    last = models[-1]
    assert held_out(last) & heard(behind(last, store, teachers=True))


def test_out_of_fold_student_skips_soundscapes_it_will_label(
    store: Store, train_rounds: Callable[[str], Models]
) -> None:
    models = train_rounds("out-of-fold")
    left_out = 0
    for model in models[FOLDS:]:
        refs = [Ref(*name.split("/")) for name in model.manifest.inputs["labels"]]
        labels = pd.concat([pd.read_parquet(store.get(ref) / "labels.parquet") for ref in refs])
        fold = model.manifest.config["fold"]
        others = [soundscape_fold(name, FOLDS) != fold for name in labels["recording"]]
        assert model.metrics["segments"] == sum(others)
        left_out += len(labels) - sum(others)
    assert left_out
