from typing import Any

from birdcore.report.evaluation import evaluate_on_soundscapes
from birdcore.report.run_metadata import (
    artifacts_below,
    cleaning_counts,
    flat,
    found_in_cleaning,
    licences,
    side_by_side,
    species_of,
)
from birdcore.store.store import Store


def test_settings_have_the_names_that_one_sets() -> None:
    table = {"a": {"b": 0.5, "c": [1, 2]}, "d": None, "e": True, "f": []}
    assert list(flat(table)) == [("a.b", "0.5"), ("a.c", "1, 2"), ("e", "true"), ("f", "none")]


def test_what_rounds_differ_in_comes_first() -> None:
    rows = side_by_side([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    assert rows == [("b", ["2", "3"], True), ("c", ["", "4"], True), ("a", ["1", "1"], False)]


def test_species_without_truth_have_recordings_and_no_score(made: Any) -> None:
    truth = made.data / "test_soundscapes_labels.csv"
    evaluation = evaluate_on_soundscapes(made.submission, made.score, truth, [], 5)
    (one, *_) = species_of(made.catalog, evaluation)
    assert (one.label, one.name) == ("plawhi", "Plain Sinewhistler")
    assert one.recordings == 4  # one of the three that can't be read is no copy of another
    assert one.auc == evaluation.auc[evaluation.classes.index("plawhi")]
    (one, *_) = species_of(made.catalog, None)
    assert (one.auc, one.mean, one.auc_by, one.pieces) == (None, None, {}, 0)


def test_what_was_rejected_is_named_with_its_reason(made: Any) -> None:
    store = Store(made.page.folder.parents[1])
    cleaned = {
        name.removeprefix("clean "): [store.get(ref) for ref in refs]
        for name, refs in made.step.inputs.items()
        if name.startswith("clean ")
    }
    found = found_in_cleaning(cleaned, "rejected", "reason")
    assert len(found) == 3
    assert all(why.startswith("not a readable sound file") for _, why in found)
    labelled, unlabelled, test = cleaning_counts(cleaned)
    assert (labelled["kind"], labelled["recordings"]) == ("Labelled recordings", 9)
    assert labelled["cut_s"] >= 1.5
    assert (unlabelled["rejected"], test["recordings"]) == (0, 2)


def test_licences_are_counted(made: Any) -> None:
    said = licences(model for models in made.rounds.values() for model in models)
    assert said.recordings == sum(count for _, count in said.counts)
    assert said.recordists > 1
    assert said.forbid == {"nc": 0, "nd": 0, "unknown": 0}
    assert said.teachers == []


def test_artifacts_are_counted_once_after_what_they_were_made_of(made: Any) -> None:
    store = Store(made.page.folder.parents[1])
    counts = artifacts_below(store, [made.submission.ref, made.score.ref])
    assert counts == {
        "catalog": 1, "clean": 2, "mel": 2, "train": 4, "ensemble": 1, "predict": 2,
        "submission": 1, "score": 1,
    }  # fmt: skip
    order = list(counts)
    assert order.index("mel") < order.index("train") < order.index("submission") < 7
    assert order[-1] == "score"
