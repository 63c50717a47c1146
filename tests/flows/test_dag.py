import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.artifact import Ref, Step
from birdcore.catalog.source import scan
from birdcore.recipe import read_recipe
from birdcore.store import Store
from flows.dag import Dag, build_dag

Build = Callable[..., Dag]


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


@pytest.fixture
def build(data: Path, tmp_path: Path, tiny_recipe: Path) -> Build:
    store = Store(tmp_path / "store")

    def dag(*settings: str) -> Dag:
        recipe = read_recipe(tiny_recipe, settings)
        return build_dag(recipe, scan(data, store), store, keep_shards=False)

    return dag


def named(dag: Dag, start: str) -> list[Step]:
    return [step for step in dag.steps if step.name.startswith(start)]


def stages_of(refs: tuple[Ref, ...]) -> set[str]:
    return {ref.stage for ref in refs}


def test_each_step_comes_once_and_after_what_it_reads(build: Build) -> None:
    dag = build()
    seen: set[Ref] = set()
    for step in dag.steps:
        assert step.ref not in seen
        assert {ref for refs in step.inputs.values() for ref in refs} <= seen, step.name
        seen.add(step.ref)


def test_a_round_has_a_model_for_each_backbone_and_fold(build: Build) -> None:
    dag = build('round.0.backbones=["resnet10t", "resnet18"]', "folds.train=[1]")
    assert [step.name for step in named(dag, "train first")] == [
        "train first resnet10t fold 1",
        "train first resnet18 fold 1",
    ]
    assert len(named(dag, "train second")) == 1
    # All of the teacher's models label, each round predicts, and all members are weighed.
    (labelled,) = named(dag, "label")
    assert labelled.inputs["teacher"] == tuple(s.ref for s in named(dag, "train first"))
    (weighed,) = named(dag, "ensemble")
    assert {name: len(refs) for name, refs in weighed.inputs.items()} == {"first": 2, "second": 1}


def test_a_student_reads_labels_and_soundscapes_and_its_teacher_does_not(build: Build) -> None:
    dag = build()
    teacher, student = named(dag, "train first")[0], named(dag, "train second")[0]
    assert set(teacher.inputs) == {"catalog", "folds", "mel"}
    assert set(student.inputs) == {"catalog", "folds", "mel", "soundscapes", "labels"}
    assert stages_of(student.inputs["labels"]) == {"label"}
    assert student.inputs["soundscapes"] == tuple(
        step.ref for step in named(dag, "mel train_soundscapes")
    )


def test_a_background_needs_soundscapes_without_labels(build: Build) -> None:
    (step, _) = named(build("round.0.background.probability=0.5"), "train first")
    assert set(step.inputs) == {"catalog", "folds", "mel", "soundscapes"}


def test_a_round_starts_from_its_own_backbone_and_fold(build: Build) -> None:
    dag = build(
        'round.0.backbones=["resnet10t", "resnet18"]',
        'round.1.backbones=["resnet10t", "resnet18"]',
        "round.1.start=first",
    )
    before = {step.name.removeprefix("train first "): step for step in named(dag, "train first")}
    after = named(dag, "train second")
    assert len(before) == len(after) == 4
    for step in after:
        own = before[step.name.removeprefix("train second ")]
        assert step.inputs["start"] == (own.ref,)


def test_two_students_of_one_teacher_share_its_labels(
    build: Build, tmp_path: Path, tiny_recipe: Path, data: Path
) -> None:
    text = tiny_recipe.read_text()
    student = text[text.rindex("[[round]]") : text.index("[score]")]
    third = student.replace('"second"', '"third"').replace("epochs = 1", "epochs = 2")
    path = tmp_path / "three.toml"
    path.write_text(text.replace("[score]", f"{third}[score]"))
    store = Store(tmp_path / "store")
    dag = build_dag(read_recipe(path), scan(data, store), store, keep_shards=False)
    assert len(named(dag, "label")) == 1
    assert len(named(dag, "train third")) == 2


def test_only_members_are_weighed_and_all_rounds_predict(build: Build) -> None:
    dag = build('ensemble.members=["second"]')
    (weighed,) = named(dag, "ensemble")
    assert set(weighed.inputs) == {"second"}
    assert [s.name for s in named(dag, "predict")] == ["predict first 0000", "predict second 0000"]
    assert set(dag.submission.inputs) == {"catalog", "weights", "round first", "round second"}


def test_training_reads_no_test_soundscape(build: Build) -> None:
    dag = build()
    by_ref = {step.ref: step for step in dag.steps}

    def files_below(step: Step) -> set[str]:
        below = [by_ref[ref] for refs in step.inputs.values() for ref in refs]
        return set(step.files).union(*map(files_below, below))

    for step in [*named(dag, "train"), *named(dag, "label"), *named(dag, "ensemble")]:
        kinds = {name.partition("/")[0] for name in files_below(step)}
        assert "train_audio" in kinds
        assert "test_soundscapes" not in kinds
        assert "test_soundscapes_labels.csv" not in kinds
    assert dag.score is not None
    assert "test_soundscapes_labels.csv" in files_below(dag.score)


def test_without_truth_there_is_no_score(build: Build, data: Path) -> None:
    (data / "test_soundscapes_labels.csv").unlink()
    dag = build()
    assert dag.score is None
    assert dag.steps[-1] == dag.submission


def test_without_test_soundscapes_there_are_models_and_no_predictions(
    build: Build, data: Path
) -> None:
    shutil.rmtree(data / "test_soundscapes")
    dag = build()
    assert named(dag, "predict") == []
    assert len(named(dag, "train")) == 4


def test_a_teacher_or_background_without_soundscapes_is_refused(build: Build, data: Path) -> None:
    shutil.rmtree(data / "train_soundscapes")
    with pytest.raises(ValueError, match=r"teacher of round 'second' needs soundscapes, and there"):
        build()
    with pytest.raises(ValueError, match=r"background of round 'first' needs soundscapes"):
        build("round.0.background.probability=0.5")


def test_a_file_of_weights_decides_by_its_content_and_must_be_there(
    build: Build, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    settings = ("round.0.pretrained=true", f"round.0.weights={weights}")
    with pytest.raises(ValueError, match=r"weights of round 'first': there is no file /.*w\.safet"):
        build(*settings)
    weights.write_bytes(b"one")
    one = named(build(*settings), "train first")[0]
    moved = tmp_path / "elsewhere" / weights.name
    moved.parent.mkdir()
    weights.rename(moved)
    settings = (settings[0], f"round.0.weights={moved}")
    assert named(build(*settings), "train first")[0].key == one.key
    moved.write_bytes(b"two")
    assert named(build(*settings), "train first")[0].key != one.key
