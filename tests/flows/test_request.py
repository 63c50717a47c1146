import shutil
from pathlib import Path

import pytest

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.store.store import Store
from flows.dag import Dag, build_dag
from flows.request import fitted
from flows.results import summary


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


def dag_of(data: Path, recipe: Path, store: Store, *settings: str) -> Dag:
    parts = fitted(read_recipe(recipe, settings), scan(data, store))
    return build_dag(*parts, store, keep_shards=False)


def test_what_fits_is_as_it_was(data: Path, tmp_path: Path, tiny_recipe: Path) -> None:
    store = Store(tmp_path / "store")
    recipe, source = read_recipe(tiny_recipe), scan(data, store)
    assert fitted(recipe, source) == (recipe, source)


def test_without_soundscapes_the_rounds_that_need_none_train(
    data: Path, tmp_path: Path, tiny_recipe: Path
) -> None:
    shutil.rmtree(data / "train_soundscapes")
    store = Store(tmp_path / "store")
    dag = dag_of(data, tiny_recipe, store, "round.first.background.probability=0.5")
    assert {step.config["backbone"] for step in dag.of("train")} == {"test_resnet"}
    assert {step.name.split()[1] for step in dag.of("train")} == {"first"}
    assert not dag.of("label")
    told = [(each.where, each.detail) for each in dag.problems]
    none = f"and none in {data / 'train_soundscapes'} are unlabelled"
    assert ("round second", f"left out: the teacher labels soundscapes, {none}") in told
    off = f"background is off: it is taken from soundscapes, {none}"
    assert ("round first", off) in told
    assert "round second (left out: the teacher labels soundscapes" in summary(dag, store, {})


def test_without_any_soundscapes_models_are_trained_and_nothing_is_predicted(
    data: Path, tmp_path: Path, tiny_recipe: Path
) -> None:
    shutil.rmtree(data / "train_soundscapes")
    shutil.rmtree(data / "test_soundscapes")
    dag = dag_of(data, tiny_recipe, Store(tmp_path / "store"))
    assert dag.of("train")
    assert not dag.of("predict")
    told = [each.detail for each in dag.problems if each.problem == "no test soundscape"]
    assert told == ["the submission has a header and no rows"]


def test_a_recipe_whose_every_round_needs_soundscapes_is_refused(
    data: Path, tmp_path: Path, tiny_recipe: Path
) -> None:
    shutil.rmtree(data / "train_soundscapes")
    text = """
[external_teacher]
teacher = "birdnet"

[[round]]
name = "student"
backbones = ["test_resnet"]
teacher = "external_teacher"
"""
    (tmp_path / "student.toml").write_text(text)
    with pytest.raises(ValueError, match="teacher of round 'student' labels soundscapes, and"):
        dag_of(data, tmp_path / "student.toml", Store(tmp_path / "store"))


def test_soundscapes_that_stand_in_are_fingerprinted_once(
    data: Path, tmp_path: Path, pretrain_recipe: Path
) -> None:
    shutil.rmtree(data / "test_soundscapes")
    store = Store(tmp_path / "store")
    audio = (SourceFile("recordings/XC1.mp3", 9, "sound"),)
    collected = Source(
        "xeno-canto",
        tmp_path / "collection",
        (Subset("xeno_canto", "labelled", audio),),
        {"chosen.parquet": "a record"},
    )
    recipe, source = fitted(read_recipe(pretrain_recipe), scan(data, store))
    dag = build_dag(recipe, source, store, [collected], keep_shards=False)
    by_ref = {step.ref: step for step in dag.of("fingerprint")}
    (compared,) = dag.of("leaks")
    read = [file for ref in compared.reads if ref in by_ref for file in by_ref[ref].files]
    assert len(read) == len(set(read)) > 0


def test_an_empty_test_set_is_stood_in_for_and_never_scored(
    data: Path, tmp_path: Path, tiny_recipe: Path
) -> None:
    store = Store(tmp_path / "store")
    shutil.rmtree(data / "test_soundscapes")
    trained = {step.ref for step in dag_of(data, tiny_recipe, store).of("train")}
    # A truth that names the very soundscapes that stand in makes no score of them.
    truth = data / "test_soundscapes_labels.csv"
    head = truth.read_text().splitlines()[0]
    stem = next((data / "train_soundscapes").glob("*.ogg")).stem
    truth.write_text(f"{head}\n{stem}_5{',0' * head.count(',')}\n")
    dag = dag_of(data, tiny_recipe, store)
    assert dag.of("predict")
    assert not dag.of("score")
    assert stem in dag.names.values()
    assert "a dry run of what models may have been trained on" in summary(dag, store, {})
    assert {step.ref for step in dag.of("train")} == trained
