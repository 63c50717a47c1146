"""Which steps a run is for, on a small DAG of steps that do nothing."""

from pathlib import Path

import pytest

from birdcore.artifact import Facts, Ref, Step
from birdcore.store import Job, Store
from flows.chosen import choose
from flows.dag import Dag


def small_dag() -> Dag:
    """Two shards to a submission by one round of two models."""
    clean = [Step("clean", 1, f"clean train_audio/000{at}", {"at": at}) for at in range(2)]
    mel = [
        Step("mel", 1, f"mel train_audio/000{at}", {"at": at}, {"clean": (one.ref,)})
        for at, one in enumerate(clean)
    ]
    mels = tuple(one.ref for one in mel)
    train = [
        Step("train", 1, f"train student b0 fold {fold}", {"fold": fold}, {"mel": mels})
        for fold in range(2)
    ]
    models = tuple(one.ref for one in train)
    submission = Step("submission", 1, "submission", {}, {"models": models})
    return Dag((*clean, *mel, *train, submission), submission, None)


DAG = small_dag()


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def store(empty: Store) -> Store:
    """All of it is made."""
    for step in DAG.steps:
        empty.make(step, dummy)
    return empty


def dummy(job: Job) -> Facts:
    (job.folder / "dummy").write_text(job.step.name)
    return {}


def names(refs: frozenset[Ref]) -> set[str]:
    return {step.name for step in DAG.steps if step.ref in refs}


def test_a_run_is_for_all_steps_and_makes_none_anew(empty: Store) -> None:
    assert choose(DAG, empty).steps == DAG.steps
    assert choose(DAG, empty).anew == frozenset()


def test_only_is_for_one_stage(store: Store) -> None:
    chosen = choose(DAG, store, only="mel")
    assert [step.stage for step in chosen.steps] == ["mel", "mel"]
    assert not chosen.anew


def test_only_with_refresh_makes_that_stage_anew_and_no_other(store: Store) -> None:
    chosen = choose(DAG, store, only="mel", refresh=["mel", "train"])
    assert names(chosen.anew) == {"mel train_audio/0000", "mel train_audio/0001"}


def test_only_refuses_what_lacks_its_inputs(empty: Store) -> None:
    with pytest.raises(ValueError, match=r"mel reads 2 artifacts .* \(of clean\): run these"):
        choose(DAG, empty, only="mel")
    assert choose(DAG, empty, only="clean").steps


def test_only_needs_no_inputs_of_what_is_there(store: Store) -> None:
    for step in DAG.steps:
        if step.stage == "clean":
            (store.path(step.ref) / "dummy").unlink()
    assert choose(DAG, store, only="mel").steps


def test_only_makes_what_can_be_made_and_names_what_waits(store: Store) -> None:
    for step in DAG.steps:
        if step.stage == "mel" or step.name == "clean train_audio/0001":
            (store.path(step.ref) / "dummy").unlink()
    chosen = choose(DAG, store, only="mel")
    assert [step.name for step in chosen.steps] == ["mel train_audio/0000"]
    assert [step.name for step in chosen.waiting] == ["mel train_audio/0001"]


def test_only_follows_a_stage_through_its_own_steps(empty: Store) -> None:
    first = Step("train", 1, "train teacher", {"round": 1})
    second = Step("train", 1, "train student", {"round": 2}, {"start": (first.ref,)})
    chosen = choose(Dag((first, second), second, None), empty, only="train")
    assert chosen.steps == (first, second)
    assert not chosen.waiting


def test_since_makes_a_stage_and_what_follows_anew(store: Store) -> None:
    anew = names(choose(DAG, store, since="train").anew)
    assert anew == {"train student b0 fold 0", "train student b0 fold 1", "submission"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("mel", {"mel train_audio/0000", "mel train_audio/0001"}),
        ("mel:0001", {"mel train_audio/0001"}),
        ("mel:train_audio/0001", {"mel train_audio/0001"}),
        ("train:student", {"train student b0 fold 0", "train student b0 fold 1"}),
        ("train:student fold 1", {"train student b0 fold 1"}),
        (f"mel:{DAG.steps[2].key[:8]}", {"mel train_audio/0000"}),
    ],
)
def test_refresh_names_a_stage_or_shards_of_it(
    store: Store, asked: str, expected: set[str]
) -> None:
    assert names(choose(DAG, store, refresh=[asked]).anew) == expected


def test_what_was_made_anew_since_the_run_began_is_not_made_once_more(store: Store) -> None:
    made = store.get(DAG.submission.ref).manifest.made_at
    assert not choose(DAG, store, refresh=["mel"], began=made).anew
    assert choose(DAG, store, refresh=["mel"], began="9999").anew


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"only": "mels"}, "no stage mels: did you mean mel\\? there are clean, mel, train"),
        ({"since": "score"}, "no stage score: there are"),
        ({"refresh": ["mel:0007"]}, "no step of mel goes by '0007': there are train_audio/0000"),
        ({"only": "mel", "since": "mel"}, "exclude each other"),
    ],
)
def test_what_is_not_there_is_refused(store: Store, asked: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(DAG, store, **asked)  # type: ignore[arg-type]
