import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.config import find_recipe, read_recipe
from birdcore.sources.birdclef import scan
from birdcore.sources.source import Source, SourceFile, Subset, extra_sources
from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from flows.dag import Dag, build_dag

Build = Callable[..., Dag]
STUDENT = """
[[round]]
name = "student"
init_from = "first"
teacher = "first"
epochs = 1
"""


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


@pytest.fixture
def build_pretrained(data: Path, tmp_path: Path, pretrain_recipe: Path) -> Build:
    """The DAG of three rounds, the first on so many recordings of a collection."""
    store = Store(tmp_path / "store")
    recipe = tmp_path / "pretrained.toml"
    text = pretrain_recipe.read_text()
    recipe.write_text(text.replace("\n[score]", f"{STUDENT}\n[score]"))

    def dag(recordings: int = 5, *settings: str) -> Dag:
        audio = tuple(
            SourceFile(f"recordings/XC{n}.mp3", 9, f"sound {n}") for n in range(recordings)
        )
        collected = Source(
            "xeno-canto",
            tmp_path / "collection",
            (Subset("xeno_canto", "labelled", audio),),
            {"chosen.parquet": f"{recordings} records"},
        )
        source = scan(data, store)
        return build_dag(
            read_recipe(recipe, settings), source, store, [collected], keep_shards=True
        )

    return dag


def named(dag: Dag, start: str) -> list[Step]:
    return [step for step in dag.steps if step.name.startswith(start)]


def stages_of(refs: tuple[Ref, ...]) -> set[str]:
    return {ref.stage for ref in refs}


def test_each_step_comes_once_and_after_what_it_reads(
    build: Build, build_pretrained: Build
) -> None:
    seen: set[Ref] = set()
    for step in build().steps:
        assert step.ref not in seen
        assert {ref for refs in step.inputs.values() for ref in refs} <= seen, step.name
        seen.add(step.ref)
    seen.clear()
    for step in build_pretrained().steps:
        assert step.ref not in seen
        assert {ref for refs in step.inputs.values() for ref in refs} <= seen, step.name
        seen.add(step.ref)


def test_a_round_has_a_model_for_each_backbone_and_fold(build: Build) -> None:
    dag = build('round.0.backbones=["test_resnet", "resnet18"]', "folds.train=[1]")
    assert [step.name for step in named(dag, "train first")] == [
        "train first test_resnet fold 1",
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
        'round.0.backbones=["test_resnet", "resnet18"]',
        'round.1.backbones=["test_resnet", "resnet18"]',
        "round.1.init_from=first",
    )
    before = {step.name.removeprefix("train first "): step for step in named(dag, "train first")}
    after = named(dag, "train second")
    assert len(before) == len(after) == 4
    for step in after:
        own = before[step.name.removeprefix("train second ")]
        assert step.inputs["start"] == (own.ref,)


@pytest.mark.parametrize("name", ["two-stage", "two-stage-mini"])
def test_two_stages_are_all_recordings_and_then_the_well_rated(
    name: str, data: Path, tmp_path: Path
) -> None:
    store, recipe = Store(tmp_path / "store"), read_recipe(find_recipe(name))
    dag = build_dag(recipe, scan(data, store), store, keep_shards=False)
    first, second = (named(dag, f"train {stage} ") for stage in ("supervised", "well-rated"))
    assert len(first) == len(second) == len(recipe.folds.trained)
    for before, after in zip(first, second, strict=True):
        assert after.inputs["start"] == (before.ref,)
        assert after.inputs["mel"] == before.inputs["mel"]
        assert "start" not in before.inputs
        assert (before.config["min_rating"], after.config["min_rating"]) == (0, 4)
        assert before.config["validate_min_rating"] == after.config["validate_min_rating"] == 4
        assert after.config["learning_rate"] < before.config["learning_rate"]
        assert after.config["backbone"] == before.config["backbone"]
        assert after.config["fold"] == before.config["fold"]
    assert not named(dag, "label")  # no stage has a teacher
    (ensemble,) = named(dag, "ensemble")
    assert ensemble.inputs == {"well-rated": tuple(step.ref for step in second)}


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


def test_a_student_that_is_taught_by_its_own_fold_alone_reads_no_other_models_labels(
    build: Build,
) -> None:
    """What a model is validated on has taught nobody who taught it."""
    settings = ("folds.train=[0, 1]", "round.1.label.source=both")
    dag = build("round.1.label.teachers=own", *settings)

    def folds_behind(dag: Dag, step: Step) -> set[int]:
        refs = {ref for refs in step.inputs.values() for ref in refs}
        own = {step.config["fold"]} if step.stage == "train" else set()
        return own.union(*(folds_behind(dag, one) for one in dag.steps if one.ref in refs))

    students = named(dag, "train second")
    assert [folds_behind(dag, one) for one in students] == [{0}, {1}]
    clips = named(dag, "label for second clips")
    assert len(clips) == 2 * len(named(dag, "mel train_audio"))
    assert {ref for one in students for ref in one.inputs["clip_labels"]} == {s.ref for s in clips}
    every = build(*settings)
    assert [folds_behind(every, one) for one in named(every, "train second")] == [{0, 1}] * 2


def test_a_teacher_of_clips_needs_no_soundscape(build: Build, data: Path) -> None:
    shutil.rmtree(data / "train_soundscapes")
    dag = build("round.1.label.source=clips", "round.1.targets=enriched")
    (student, _) = named(dag, "train second")
    assert set(student.inputs) == {"catalog", "folds", "mel", "clip_labels"}
    assert student.config["targets"] == "enriched"


def test_only_members_are_weighed_and_all_rounds_predict(build: Build) -> None:
    dag = build('ensemble.members=["second"]')
    (weighed,) = named(dag, "ensemble")
    assert set(weighed.inputs) == {"second"}
    assert [s.name for s in named(dag, "predict")] == ["predict first 0000", "predict second 0000"]
    (submitted,) = dag.of("submission")
    assert set(submitted.inputs) == {
        "catalog",
        "weights",
        "round first",
        "round second",
    }


def test_what_is_said_of_taxa_needs_the_catalogue_and_its_taxonomy(
    build: Build,
) -> None:
    plain = build()
    dag = build("ensemble.taxon_weights={birds={first=1}}", "after_prediction.smooth={birds=[1]}")
    (weighed,), (submitted,) = named(dag, "ensemble"), dag.of("submission")
    assert set(weighed.inputs) == {"first", "second", "[catalog]"}
    assert submitted.config["after_prediction"]["smooth"] == {"Aves": [1.0]}
    before = {step.ref for step in plain.steps}
    changed = {step.stage for step in dag.steps if step.ref not in before}
    assert changed == {"ensemble", "submission", "score", "report"}
    with pytest.raises(ValueError, match=r"taxonomy\.csv: after_prediction\.smooth names Amphibia"):
        build("after_prediction.smooth={frogs=[1]}")


def test_exports_label_and_predict_where_models_do(build: Build) -> None:
    dag = build("export.onnx=true")
    models = {step.ref: step.name for step in dag.of("train")}
    exported = {step.ref: models[step.inputs["model"][0]] for step in dag.of("export")}
    assert sorted(exported.values()) == sorted(models.values())
    for step in [*dag.of("label"), *dag.of("predict")]:
        read = step.inputs.get("models") or step.inputs["teacher"]
        assert [exported[ref] for ref in step.inputs["exports"]] == [models[ref] for ref in read]
    order = [step.ref for step in dag.steps]
    for step in dag.steps:
        assert all(
            order.index(r) < order.index(step.ref) for rs in step.inputs.values() for r in rs
        )


def test_without_exports_keys_are_those_of_models_alone(build: Build) -> None:
    dag = build()
    assert not dag.of("export")
    assert not any("exports" in step.inputs for step in dag.steps)


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
    reads_truth = [s.stage for s in dag.steps if "test_soundscapes_labels.csv" in s.files]
    assert reads_truth == ["score", "report"]
    assert [s.stage for s in dag.steps if s.inputs.get("score")] == ["report"]
    assert not [s for s in dag.steps for refs in s.inputs.values() if "report" in stages_of(refs)]


def test_without_truth_there_is_no_score(build: Build, data: Path) -> None:
    (data / "test_soundscapes_labels.csv").unlink()
    dag = build()
    assert not dag.of("score")
    assert dag.steps[-2].stage == "submission"
    assert dag.steps[-1].stage == "report"
    assert "score" not in dag.steps[-1].inputs


def test_without_test_soundscapes_there_are_models_and_no_predictions(
    build: Build, data: Path
) -> None:
    shutil.rmtree(data / "test_soundscapes")
    dag = build()
    assert named(dag, "predict") == []
    assert len(named(dag, "train")) == 4


def test_a_teacher_or_background_without_soundscapes_is_refused(build: Build, data: Path) -> None:
    shutil.rmtree(data / "train_soundscapes")
    with pytest.raises(ValueError, match=r"teacher of round 'second' labels soundscapes, and"):
        build()
    with pytest.raises(ValueError, match=r"background of .* set background.probability = 0"):
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


def test_a_round_on_other_data_reads_its_own_catalogue_folds_and_mels(
    build_pretrained: Build,
) -> None:
    dag = build_pretrained()
    (pretrain,) = named(dag, "train pretrain")
    (birds,) = named(dag, "collection")
    assert pretrain.inputs["catalog"] == (birds.ref,)
    assert pretrain.inputs["mel"] == tuple(s.ref for s in named(dag, "mel xeno_canto"))
    (folded,) = (s for s in dag.steps if s.ref == pretrain.inputs["folds"][0])
    assert folded.inputs["catalog"] == (birds.ref,)
    first = named(dag, "train first")[0]
    for name in ("catalog", "folds", "mel"):
        assert first.inputs[name] != pretrain.inputs[name]
    # Every shard of it is compared with all audio of the competition.
    known = {s.ref for s in named(dag, "fingerprint") if "xeno_canto" not in s.name}
    leaks = named(dag, "leaks")
    assert birds.inputs["leaks"] == tuple(s.ref for s in leaks)
    assert len(leaks) == 2
    for step in leaks:
        assert set(step.inputs["competition"]) == known
        assert step.inputs["fingerprints"][0] not in known
    assert {s.name.split()[1].partition("/")[0] for s in dag.steps if s.ref in known} == {
        "train_audio", "train_soundscapes", "test_soundscapes"
    }  # fmt: skip


def test_a_round_on_other_data_is_neither_predicted_nor_weighed_nor_a_teacher(
    build_pretrained: Build,
) -> None:
    dag = build_pretrained()
    (pretrain,) = named(dag, "train pretrain")
    assert {s.name for s in named(dag, "predict")} == {"predict first 0000", "predict student 0000"}
    (weighed,) = named(dag, "ensemble")
    assert set(weighed.inputs) == {"first", "student"}
    readers = [s.name for s in dag.steps if any(pretrain.ref in r for r in s.inputs.values())]
    assert readers == [*(s.name for s in named(dag, "train first")), "report"]
    (submitted,) = dag.of("submission")
    assert set(submitted.inputs) == {
        "catalog",
        "weights",
        "round first",
        "round student",
    }


def test_its_first_model_starts_the_folds_that_it_has_no_model_of(build_pretrained: Build) -> None:
    dag = build_pretrained()
    (pretrain,) = named(dag, "train pretrain")
    first = named(dag, "train first")
    assert [s.inputs["start"] for s in first] == [(pretrain.ref,)] * 2
    assert [s.inputs["start"] for s in named(dag, "train student")] == [(s.ref,) for s in first]
    dag = build_pretrained(5, "round.0.folds=[1, 0]")
    before = {s.config["fold"]: s.ref for s in named(dag, "train pretrain")}
    for step in named(dag, "train first"):
        assert step.inputs["start"] == (before[step.config["fold"]],)


def test_one_more_recording_makes_one_shard_anew_and_nothing_of_the_competition(
    build_pretrained: Build,
) -> None:
    before = {step.ref for step in build_pretrained(5).steps}
    new = [step for step in build_pretrained(6).steps if step.ref not in before]
    at = [step.stage for step in new].index("collection")
    assert {step.name for step in new[:at]} == {
        f"{stage} xeno_canto/0002" for stage in ("clean", "mel", "fingerprint", "leaks")
    }
    assert {step.stage for step in new[at:]} == {
        "collection", "folds", "train", "label", "ensemble", "predict", "submission", "score",
        "report",
    }  # fmt: skip


def test_without_a_round_that_wants_one_there_is_no_collection(
    build: Build, data: Path, tmp_path: Path, pretrain_recipe: Path, tiny_recipe: Path
) -> None:
    store = Store(tmp_path / "store")
    source = scan(data, store)
    assert extra_sources(read_recipe(tiny_recipe), source, tmp_path / "none", store) == ()
    assert {"fingerprint", "leaks", "collection"}.isdisjoint(s.stage for s in build().steps)
    with pytest.raises(ValueError, match="none holds no recording"):
        extra_sources(read_recipe(pretrain_recipe), source, tmp_path / "none", store)


def test_speed_of_the_files_is_in_what_reads_them(build: Build) -> None:
    plain = build()
    auto, slow = build('mel.speed="auto"'), build("mel.speed=2")
    first, last = build('mel.channels="first"'), build('mel.channels="mean"')
    assert auto.of("mel")[0].config["spec"]["speed_from"] == "file"
    assert all(step.config["speed"] == 2 for step in slow.of("clean"))
    assert all(step.config["channels"] == "first" for step in first.of("clean"))
    assert [step.key for step in last.steps] == [step.key for step in plain.steps]
