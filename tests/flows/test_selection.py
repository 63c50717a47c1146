"""Which steps a run is for, on a small DAG of steps that do nothing."""

from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.run_records import RunRequest
from birdcore.store.store import Job, Store
from flows.dag import Dag
from flows.selection import lacking, select


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
    return Dag((*clean, *mel, *train, submission))


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


def asked(**options: Any) -> RunRequest:
    """A request for some part of a run."""
    return RunRequest("recipe.toml", "data", "out", **options)


def names(refs: frozenset[Ref]) -> set[str]:
    return {step.name for step in DAG.steps if step.ref in refs}


def test_a_run_is_for_all_steps_and_makes_none_anew(empty: Store) -> None:
    assert select(DAG, empty, asked()).steps == DAG.steps
    assert select(DAG, empty, asked()).rebuild == frozenset()


def test_only_is_for_one_stage(store: Store) -> None:
    selection = select(DAG, store, asked(only="mel"))
    assert [step.stage for step in selection.steps] == ["mel", "mel"]
    assert not selection.rebuild


def test_only_with_refresh_makes_that_stage_anew_and_no_other(store: Store) -> None:
    selection = select(
        DAG,
        store,
        asked(
            only="mel",
            refresh=(
                "mel",
                "train",
            ),
        ),
    )
    assert names(selection.rebuild) == {"mel train_audio/0000", "mel train_audio/0001"}


def test_only_refuses_what_lacks_its_inputs(empty: Store) -> None:
    with pytest.raises(ValueError, match=r"mel reads 2 artifacts .* \(of clean\): say --until"):
        select(DAG, empty, asked(only="mel"))
    assert select(DAG, empty, asked(only="clean")).steps


def test_only_needs_no_inputs_of_what_is_there(store: Store) -> None:
    for step in DAG.steps:
        if step.stage == "clean":
            (store.path(step.ref) / "dummy").unlink()
    assert select(DAG, store, asked(only="mel")).steps


def test_only_makes_what_can_be_made_and_names_what_waits(store: Store) -> None:
    for step in DAG.steps:
        if step.stage == "mel" or step.name == "clean train_audio/0001":
            (store.path(step.ref) / "dummy").unlink()
    selection = select(DAG, store, asked(only="mel"))
    assert [step.name for step in selection.steps] == ["mel train_audio/0000"]
    assert [step.name for step in selection.waiting] == ["mel train_audio/0001"]


def test_only_follows_a_stage_through_its_own_steps(empty: Store) -> None:
    first = Step("train", 1, "train teacher", {"round": 1})
    second = Step("train", 1, "train student", {"round": 2}, {"start": (first.ref,)})
    selection = select(Dag((first, second)), empty, asked(only="train"))
    assert selection.steps == (first, second)
    assert not selection.waiting


def test_since_makes_a_stage_and_what_follows_anew(store: Store) -> None:
    rebuilt = names(select(DAG, store, asked(from_stage="train")).rebuild)
    assert rebuilt == {"train student b0 fold 0", "train student b0 fold 1", "submission"}


def test_until_selects_a_stage_and_all_that_it_needs(empty: Store) -> None:
    selection = select(DAG, empty, asked(until="mel"))
    assert [step.stage for step in selection.steps] == ["clean", "clean", "mel", "mel"]
    one = select(DAG, empty, asked(until="mel:0001"))
    assert [step.name for step in one.steps] == ["clean train_audio/0001", "mel train_audio/0001"]


def test_until_limits_what_is_rebuilt(store: Store) -> None:
    selection = select(DAG, store, asked(until="train", from_stage="mel"))
    assert {ref.stage for ref in selection.rebuild} == {"mel", "train"}


@pytest.mark.parametrize("option", ["only", "until", "from_stage"])
@pytest.mark.parametrize("text", ["mel train_audio/0001", "mel 0001", DAG.steps[3].key[:12]])
def test_names_as_printed_are_taken(store: Store, option: str, text: str) -> None:
    selection = select(DAG, store, asked(**{option: text}))
    assert DAG.steps[3] in selection.steps
    assert DAG.steps[2] not in selection.steps or DAG.steps[2].ref not in selection.rebuild


@pytest.mark.parametrize("stage", ["clean", "mel", "train", "submission"])
def test_only_is_as_good_where_all_of_it_is_made(store: Store, stage: str) -> None:
    for step in DAG.steps:  # whatever became of the others
        if step.stage != stage:
            (store.path(step.ref) / "dummy").unlink()
    selection = select(DAG, store, asked(only=stage))
    assert selection.steps == tuple(step for step in DAG.steps if step.stage == stage)
    assert not selection.waiting
    assert not selection.notes
    assert {step.stage for step in lacking(DAG, store)} == {s.stage for s in DAG.steps} - {stage}


def test_what_is_asked_for_anew_waits_for_what_it_reads(store: Store) -> None:
    (store.path(DAG.steps[0].ref) / "dummy").unlink()
    selection = select(DAG, store, asked(only="mel", refresh=("mel",)))
    assert names(selection.rebuild) == {"mel train_audio/0001"}
    assert [step.name for step in selection.waiting] == ["mel train_audio/0000"]
    (note,) = selection.notes[-1:]
    assert note == "left until earlier stages have run: mel train_audio/0000"
    with pytest.raises(ValueError, match=r"mel reads 1 artifacts .* \(of clean\): say --until"):
        select(DAG, store, asked(only="mel", refresh=("mel:0000",)))


def test_what_can_be_made_anew_is_though_others_wait(store: Store) -> None:
    for step in (DAG.steps[0], DAG.steps[2]):  # a clean and its mel
        (store.path(step.ref) / "dummy").unlink()
    selection = select(DAG, store, asked(only="mel", refresh=("mel:0001",)))
    assert names(selection.rebuild) == {"mel train_audio/0001"}


def test_results_need_all_but_the_page(store: Store) -> None:
    page = Step("report", 1, "report", {}, {"submission": (DAG.steps[-1].ref,)})
    assert lacking(Dag((*DAG.steps, page)), store) == []


TWO_KINDS = Dag(
    tuple(
        Step("mel", 1, f"mel {kind}/000{at}", {"kind": kind, "at": at})
        for kind in ("train_audio", "train_soundscapes", "test_soundscapes", "xeno_canto")
        for at in range(2)
    )
)


def test_a_number_that_several_shards_have_is_said_with_all_of_them(empty: Store) -> None:
    selection = select(
        TWO_KINDS,
        empty,
        asked(
            refresh=(
                "mel:0001",
                "mel:xeno_canto/0000",
            )
        ),
    )
    assert len(selection.rebuild) == 5
    assert selection.notes == (
        "mel:0001 means 4 steps, all made again: train_audio/0001, train_soundscapes/0001, "
        "test_soundscapes/0001, xeno_canto/0001; one is 'mel:train_audio/0001'",
    )
    one = selection.notes[0].rpartition("; one is ")[2].strip("'")
    assert len(select(TWO_KINDS, empty, asked(refresh=(one,))).rebuild) == 1


@pytest.mark.parametrize("text", ["mel", "mel:0001", "train:student fold 1", "submission"])
def test_what_means_one_step_or_a_stage_needs_no_words(store: Store, text: str) -> None:
    assert select(DAG, store, asked(refresh=(text,))).notes == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mel", {"mel train_audio/0000", "mel train_audio/0001"}),
        ("mel:0001", {"mel train_audio/0001"}),
        ("mel:train_audio/0001", {"mel train_audio/0001"}),
        ("train:student", {"train student b0 fold 0", "train student b0 fold 1"}),
        ("train:student fold 1", {"train student b0 fold 1"}),
        (f"mel:{DAG.steps[2].key[:8]}", {"mel train_audio/0000"}),
    ],
)
def test_refresh_names_a_stage_or_shards_of_it(store: Store, text: str, expected: set[str]) -> None:
    assert names(select(DAG, store, asked(refresh=(text,))).rebuild) == expected


def test_what_was_made_anew_since_the_run_began_is_not_made_once_more(store: Store) -> None:
    made = min(store.get(step.ref).manifest.made_at for step in DAG.of("mel"))
    assert not select(DAG, store, asked(refresh=("mel",)), made).rebuild
    assert select(DAG, store, asked(refresh=("mel",)), "9999").rebuild


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "mels"}, "no stage mels: did you mean mel\\? there are clean, mel, train"),
        ({"from_stage": "score"}, "no stage score: there are"),
        (
            {"refresh": ("mel:0007",)},
            "no step of mel has the name '0007': there are train_audio/0000",
        ),
        ({"only": "mel", "from_stage": "mel"}, "exclude each other"),
        ({"only": "mel", "until": "mel"}, "--until exclude each other"),
    ],
)
def test_what_is_not_there_is_refused(store: Store, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(DAG, store, asked(**options))
