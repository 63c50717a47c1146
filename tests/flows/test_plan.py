"""What would run after which change, on a store filled with artifacts of no content."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.store.artifact import MANIFEST, Metrics, Step
from birdcore.store.store import Job, Store
from flows.dag import Dag, build_dag
from flows.plan import plan
from flows.selection import Selection

WillRun = Callable[..., dict[str, str]]
AFTER_MEL = {"train", "label", "ensemble", "predict", "submission", "score", "report"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_recipe, tmp_path / "recipe.toml"))


@pytest.fixture
def dag(data: Path, store: Store, recipe: Path) -> Callable[..., Dag]:
    def build(*settings: str, keep: bool = False) -> Dag:
        return build_dag(read_recipe(recipe, settings), scan(data, store), store, keep_shards=keep)

    return build


@pytest.fixture
def will_run(dag: Callable[..., Dag], store: Store) -> WillRun:
    """The steps that would run, by name, with the reason."""

    def planned(*settings: str) -> dict[str, str]:
        return {
            p.step.name: p.why for p in plan(Selection(dag(*settings).steps), store) if not p.cached
        }

    return planned


@pytest.fixture
def done(dag: Callable[..., Dag], store: Store) -> Dag:
    """The recipe has been run on the data."""
    made = dag(keep=True)
    for step in made.steps:
        store.make(step, dummy)
    return made


def dummy(job: Job) -> Metrics:
    (job.folder / "dummy").write_text(job.step.name)
    return {}


def stages(steps: dict[str, str]) -> set[str]:
    return {name.partition(" ")[0] for name in steps}


def add_recording(data: Path) -> None:
    old, new = (data / "train_audio" / "plawhi" / name for name in ("DEMO000000.ogg", "A.ogg"))
    new.write_bytes(old.read_bytes() + b"another content")
    train = pd.read_csv(data / "train.csv")
    row = train.iloc[[0]].assign(filename="plawhi/A.ogg")
    pd.concat([train, row]).to_csv(data / "train.csv", index=False)


def test_before_the_first_run_all_is_new(
    will_run: WillRun, dag: Callable[..., Dag], store: Store
) -> None:
    assert will_run() == {step.name: "new" for step in dag().steps}
    assert not (store.root / "shards.parquet").exists()  # a plan writes no shards


def test_after_a_run_nothing_would_run(done: Dag, dag: Callable[..., Dag], store: Store) -> None:
    planned = plan(Selection(dag().steps), store)
    assert [p.step.key for p in planned] == [s.key for s in done.steps]
    assert {(p.cached, p.why) for p in planned} == {(True, "made before")}


def test_the_place_of_the_data_and_its_times_do_not_matter(
    done: Dag, data: Path, store: Store, recipe: Path
) -> None:
    elsewhere = Path(shutil.copytree(data, data.with_name("elsewhere")))
    moved = build_dag(read_recipe(recipe), scan(elsewhere, store), store, keep_shards=False)
    assert [s.key for s in moved.steps] == [s.key for s in done.steps]


def test_a_new_recording_makes_one_shard_of_clean_and_mel_and_what_depends_on_it(
    done: Dag, data: Path, will_run: WillRun
) -> None:
    add_recording(data)
    steps = will_run()
    assert [n for n in steps if n.startswith(("clean", "mel"))] == [
        "clean train_audio/0003",
        "mel train_audio/0003",
    ]
    assert steps["mel train_audio/0003"] == "new"
    assert steps["catalog"] == "input changed: 1 file new; input changed: 1 file changed"
    assert steps["folds"] == "input changed: catalog"
    assert steps["train first test_resnet fold 0"] == "input changed: catalog, folds, mel"
    assert steps["label for second soundscapes 0000"] == "input changed: train"
    assert steps["train second test_resnet fold 1"] == "input changed: catalog, folds, label, mel"
    assert steps["score"] == "input changed: submission"


def test_a_changed_recording_makes_its_shards_anew(
    done: Dag, data: Path, will_run: WillRun
) -> None:
    path = data / "train_audio" / "plawhi" / "DEMO000000.ogg"
    path.write_bytes(path.read_bytes() + b"more")
    steps = will_run()
    # It leaves the shard it was in, and comes into a new one.
    assert {n: why for n, why in steps.items() if n.startswith(("clean", "mel"))} == {
        "clean train_audio/0000": "input changed: 1 file gone",
        "clean train_audio/0003": "new",
        "mel train_audio/0000": "input changed: 1 file gone; input changed: clean",
        "mel train_audio/0003": "new",
    }


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("mel.n_mels=24", "setting n_mels changed from 32 to 24"),
        ("mel.dtype=float16", "setting scale.dtype changed from uint8 to float16"),
    ],
)
def test_mel_settings_remake_mel_and_what_follows(
    done: Dag, will_run: WillRun, setting: str, why: str
) -> None:
    steps = will_run(setting)
    assert stages(steps) == AFTER_MEL | {"mel"}
    assert {steps[name] for name in steps if name.startswith("mel")} == {why}
    assert steps["train first test_resnet fold 0"] == "input changed: mel"
    assert steps["predict first 0000"] == "input changed: mel, train"


def test_a_preset_by_its_name_or_numbers_is_the_same(done: Dag, will_run: WillRun) -> None:
    numbers = ["n_fft=1024", "hop_length=1024", "n_mels=32", "f_min=500", "f_max=15000"]
    assert will_run("mel.preset=config_96", *(f"mel.{n}" for n in numbers)) == {}


def test_cleaning_settings_leave_soundscapes_alone(done: Dag, will_run: WillRun) -> None:
    steps = will_run("clean.threshold=0.6")
    assert {why for n, why in steps.items() if n.startswith("clean")} == {
        "setting threshold changed from 0.5 to 0.6"
    }
    assert [n for n in steps if n.startswith(("clean", "mel")) and "soundscapes" in n] == []
    assert stages(steps) == AFTER_MEL | {"clean", "mel"}


def test_an_override_remakes_its_shard_only(done: Dag, data: Path, will_run: WillRun) -> None:
    name = "train_audio/swefin/DEMO000005.ogg"
    (data / "overrides.csv").write_text(f"recording,action,from,to\n{name},cut,0,1\n")
    steps = will_run()
    assert {n: why for n, why in steps.items() if n.startswith(("catalog", "clean", "mel"))} == {
        "clean train_audio/0002": f"input changed: overrides of {name}",
        "mel train_audio/0002": "input changed: clean",
    }


def test_the_bootstrap_concerns_the_score_and_its_report_only(done: Dag, will_run: WillRun) -> None:
    assert will_run("score.bootstrap=60") == {
        "score": "setting bootstrap changed from 50 to 60",
        "report": "setting score.bootstrap changed from 50 to 60; input changed: score",
    }


def test_other_truth_concerns_the_score_and_its_report_only(
    done: Dag, data: Path, will_run: WillRun
) -> None:
    truth = data / "test_soundscapes_labels.csv"
    truth.write_text(truth.read_text() + "\n")
    assert will_run() == {
        "score": "input changed: 1 file changed",
        "report": "input changed: 1 file changed; input changed: score",
    }


def test_smoothing_concerns_the_submission_and_its_score(done: Dag, will_run: WillRun) -> None:
    assert will_run("predict.neighbours=true") == {
        "submission": "setting neighbours changed from False to True",
        "score": "input changed: submission",
        "report": "setting predict.neighbours changed from False to True; "
        "input changed: score, submission",
    }


def test_a_new_test_soundscape_remakes_no_model(done: Dag, data: Path, will_run: WillRun) -> None:
    (old, _) = sorted((data / "test_soundscapes").iterdir())
    old.with_name("A.ogg").write_bytes(old.read_bytes() + b"another")
    assert will_run() == {
        "clean test_soundscapes/0001": "new",
        "mel test_soundscapes/0001": "new",
        "predict first 0001": "new",
        "predict second 0001": "new",
        "submission": "input changed: predict",
        "score": "input changed: submission",
        "report": "input changed: 1 file new; input changed: clean, mel, score, submission",
    }


def test_a_new_unlabelled_soundscape_leaves_the_first_round_alone(
    done: Dag, data: Path, will_run: WillRun
) -> None:
    (old, _) = sorted((data / "train_soundscapes").iterdir())
    old.with_name("A.ogg").write_bytes(old.read_bytes() + b"another")
    steps = will_run()
    assert [n for n in steps if n.startswith(("catalog", "folds", "train", "label"))] == [
        "label for second soundscapes 0001",
        "train second test_resnet fold 0",
        "train second test_resnet fold 1",
    ]


def test_a_renamed_round_remakes_no_model(done: Dag, recipe: Path, will_run: WillRun) -> None:
    recipe.write_text(recipe.read_text().replace('"first"', '"teacher"'))
    steps = will_run()
    assert steps.pop("report").endswith("input changed: ensemble, score, submission")
    assert steps == {
        "ensemble": "input changed: names or order",
        "submission": "input changed: ensemble",
        "score": "input changed: submission",
    }


def test_the_recipes_own_name_matters_to_nothing(done: Dag, will_run: WillRun) -> None:
    assert will_run("name=other") == {}


def test_settings_of_the_student_leave_the_teacher_alone(done: Dag, will_run: WillRun) -> None:
    steps = will_run("round.1.epochs=2", "round.1.mixup.alpha=0.25")
    assert steps["train second test_resnet fold 0"] == (
        "setting epochs changed from 1 to 2; setting mixup.alpha changed from 0.5 to 0.25"
    )
    assert [n for n in steps if "first" in n] == []
    assert stages(steps) == AFTER_MEL - {"label"}


def test_fewer_folds_keep_the_models_that_are_there(done: Dag, will_run: WillRun) -> None:
    steps = will_run("folds.train=[0]")
    assert steps["label for second soundscapes 0000"] == "input changed: train"  # of fewer teachers
    assert [n for n in steps if n.startswith(("catalog", "folds", "mel", "train first"))] == []
    assert will_run("folds.train=[0,1]") == {}


def test_a_missing_and_a_cut_file_are_told(done: Dag, store: Store, will_run: WillRun) -> None:
    mel, trained = (
        next(s for s in done.steps if s.name == name)
        for name in ("mel train_audio/0001", "train first test_resnet fold 0")
    )
    (store.path(mel.ref) / "dummy").unlink()
    (store.path(trained.ref) / "dummy").write_text("")
    why = "files missing or cut in the store"
    assert will_run() == {mel.name: why, trained.name: why}
    store.make(mel, dummy)
    (store.path(trained.ref) / MANIFEST).unlink()
    assert will_run() == {trained.name: why}


def test_a_removed_artifact_is_made_again_and_nothing_else(
    done: Dag, store: Store, will_run: WillRun
) -> None:
    mel = next(s for s in done.steps if s.name == "mel train_audio/0001")
    shutil.rmtree(store.path(mel.ref))
    assert will_run() == {mel.name: "new"}


def test_another_stage_version_is_told(done: Dag, store: Store) -> None:
    version = done.steps[0].version
    step = replace(done.steps[0], version=version + 1)
    (planned,) = plan(Selection((step,)), store)
    assert not planned.cached
    assert planned.why == f"stage version changed from {version} to {version + 1}"


def test_the_most_alike_of_earlier_ones_is_compared(store: Store) -> None:
    steps = [
        Step("mel", 1, "mel a", {"n_mels": mels, "n_fft": fft, "list": (1, 2)})
        for mels, fft in ((128, 2048), (96, 1024))
    ]
    for step in steps:
        store.make(step, dummy)
    wanted = replace(steps[0], config={**steps[0].config, "n_mels": 64})
    (planned,) = plan(Selection((wanted,)), store)
    assert planned.why == "setting n_mels changed from 128 to 64"
    elsewhere = replace(wanted, name="mel b")
    assert plan(Selection((elsewhere,)), store)[0].why == "new"
