"""Which steps a run is for, on a small DAG of steps that do nothing."""

from pathlib import Path

import pytest

from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job, Store
from flows.dag import Dag
from flows.selection import choose, lacking


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


def dummy(job: Job) -> Metrics:
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
    anew = names(choose(DAG, store, from_stage="train").anew)
    assert anew == {"train student b0 fold 0", "train student b0 fold 1", "submission"}


@pytest.mark.parametrize("stage", ["clean", "mel", "train", "submission"])
def test_only_is_as_good_where_all_of_it_is_made(store: Store, stage: str) -> None:
    for step in DAG.steps:  # whatever became of the others
        if step.stage != stage:
            (store.path(step.ref) / "dummy").unlink()
    chosen = choose(DAG, store, only=stage)
    assert chosen.steps == tuple(step for step in DAG.steps if step.stage == stage)
    assert not chosen.waiting
    assert not chosen.notes
    assert {step.stage for step in lacking(DAG, store)} == {s.stage for s in DAG.steps} - {stage}


def test_what_is_asked_for_anew_waits_for_what_it_reads(store: Store) -> None:
    (store.path(DAG.steps[0].ref) / "dummy").unlink()
    chosen = choose(DAG, store, only="mel", refresh=["mel"])
    assert names(chosen.anew) == {"mel train_audio/0001"}
    assert [step.name for step in chosen.waiting] == ["mel train_audio/0000"]
    (note,) = chosen.notes[-1:]
    assert note == "left for want of what earlier stages make: mel train_audio/0000"
    with pytest.raises(ValueError, match=r"mel reads 1 artifacts .* \(of clean\): run these"):
        choose(DAG, store, only="mel", refresh=["mel:0000"])


def test_what_can_be_made_anew_is_though_others_wait(store: Store) -> None:
    for step in (DAG.steps[0], DAG.steps[2]):  # a clean and its mel
        (store.path(step.ref) / "dummy").unlink()
    chosen = choose(DAG, store, only="mel", refresh=["mel:0001"])
    assert names(chosen.anew) == {"mel train_audio/0001"}


def test_results_need_all_but_the_page(store: Store) -> None:
    page = Step("report", 1, "report", {}, {"submission": (DAG.submission.ref,)})
    assert lacking(Dag((*DAG.steps, page), DAG.submission, None), store) == []


TWO_KINDS = Dag(
    tuple(
        Step("mel", 1, f"mel {kind}/000{at}", {"kind": kind, "at": at})
        for kind in ("train_audio", "train_soundscapes", "test_soundscapes", "xeno_canto")
        for at in range(2)
    ),
    DAG.submission,
    None,
)


def test_a_number_that_several_shards_have_is_said_with_all_of_them(empty: Store) -> None:
    chosen = choose(TWO_KINDS, empty, refresh=["mel:0001", "mel:xeno_canto/0000"])
    assert len(chosen.anew) == 5
    assert chosen.notes == (
        "mel:0001 means 4 steps, all made anew: train_audio/0001, train_soundscapes/0001, "
        "test_soundscapes/0001, xeno_canto/0001; one is 'mel:train_audio/0001'",
    )
    one = chosen.notes[0].rpartition("; one is ")[2].strip("'")
    assert len(choose(TWO_KINDS, empty, refresh=[one]).anew) == 1


@pytest.mark.parametrize("asked", ["mel", "mel:0001", "train:student fold 1", "submission"])
def test_what_means_one_step_or_a_stage_needs_no_words(store: Store, asked: str) -> None:
    assert choose(DAG, store, refresh=[asked]).notes == ()


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
    made = min(store.get(step.ref).manifest.made_at for step in DAG.of("mel"))
    assert not choose(DAG, store, refresh=["mel"], began=made).anew
    assert choose(DAG, store, refresh=["mel"], began="9999").anew


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"only": "mels"}, "no stage mels: did you mean mel\\? there are clean, mel, train"),
        ({"from_stage": "score"}, "no stage score: there are"),
        ({"refresh": ["mel:0007"]}, "no step of mel goes by '0007': there are train_audio/0000"),
        ({"only": "mel", "from_stage": "mel"}, "exclude each other"),
    ],
)
def test_what_is_not_there_is_refused(store: Store, asked: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(DAG, store, **asked)  # type: ignore[arg-type]
