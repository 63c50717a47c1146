"""Of recordings with verdicts, `birdflow review RUN` plays what nobody has judged."""

from pathlib import Path

import pandas as pd
import pytest

from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.store.run_records import Run, run_request
from birdcore.store.runs import recorded
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from flows.dag import Dag
from flows.result_folder import write_results_to
from flows.run_artifacts import run_of
from flows.run_cells import labelled_cells, probed_cells
from flows.unjudged import unjudged
from tests.flows.test_unannotated import HEAD, UNANNOTATED, Build, build, folder, store
from tests.support.fake_teacher import fake_teacher
from tests.support.made import made_to

__all__ = ["build", "folder", "store"]  # fixtures
STUDENT = "train second test_resnet fold 0"


def run_made(dag: Dag, store: Store, folder: Path, out: Path) -> Run:
    """A run that has trained a student, and all that it needs."""
    made_to(STUDENT, dag, store)
    write_results_to(out, {"model/classes.csv": "class,common_name\nrobin,Robin\nwren,Wren\n"})
    with recorded(store, run_request("recipe.toml", folder, out), dag.steps):
        pass
    return run_of(store, out)


def starts(cells: pd.DataFrame, recording: str, label: int) -> set[float]:
    own = cells[(cells["recording"] == recording) & (cells["label"] == label)]
    return set(own["start_s"].round(3))


def test_labels_of_what_nobody_judged_are_reviewed(
    build: Build, folder: Path, store: Store, tmp_path: Path
) -> None:
    run = run_made(build(UNANNOTATED), store, folder, tmp_path / "out")
    found = labelled_cells(store, run, 0.0)
    assert found is not None
    robin, wren = (list(found.classes).index(name) for name in ("robin", "wren"))
    whole = starts(found.cells, "s3.ogg", robin)
    assert whole == starts(found.cells, "s3.ogg", wren) >= {0, 1, 5, 10}
    for name in ("s1.ogg", "s2.ogg"):  # "no" robin from 0 to 5 s, wren from 9 to 12 s
        assert starts(found.cells, name, robin) == {at for at in whole if at > 4}
        assert starts(found.cells, name, wren) == {at for at in whole if not 7 < at < 12}


def test_without_labels_of_them_only_others_are(
    build: Build, folder: Path, store: Store, tmp_path: Path
) -> None:
    run = run_made(build(), store, folder, tmp_path / "out")
    found = labelled_cells(store, run, 0.0)
    assert found is not None
    assert set(found.cells["recording"]) == {"s3.ogg"}


def test_probes_hear_what_nobody_judged(
    build: Build, folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake_teacher(("wren",)))
    text = f'[external_teacher]\n{HEAD}[[round]]\nname = "second"\n'
    dag = build("round.second.teacher=head", text=text)
    run = run_made(dag, store, folder, tmp_path / "out")
    found = probed_cells(store, run, 0.0)
    assert found is not None
    robin, wren = (list(found.classes).index(name) for name in ("robin", "wren"))
    whole = starts(found.cells, "s3.ogg", robin)
    assert {0, 1.5, 3, 4.5, 6} <= whole
    for name in ("s1.ogg", "s2.ogg"):
        assert starts(found.cells, name, robin) == {at for at in whole if at > 4.5}
        assert starts(found.cells, name, wren) == {at for at in whole if not 7 < at < 12}


def test_a_complete_window_is_judged_and_a_channel_is_its_file() -> None:
    names = ["recording", "start_s", "end_s", "label", "confidence"]
    rows = [("a.ogg#channel=2", at, at + 5.0, label, 0.5) for at in (0.0, 5.0) for label in (0, 1)]
    rows += [("b.ogg", 0.0, 5.0, 0, 0.5)]
    event = {"recording": "a.ogg", "start_s": 6.0, "end_s": 9.0, "label": "wren", "kind": "present"}
    annotated = AnnotatedRecordings(
        pd.DataFrame([event]),
        pd.DataFrame([("a.ogg", 0.0, 5.0)], columns=["recording", "start_s", "end_s"]),
        pd.DataFrame([("a.ogg", "a")], columns=["recording", "group"]),
    )
    left = unjudged(pd.DataFrame(rows, columns=names), ["wren", "robin"], annotated)
    assert left[["recording", "start_s", "label"]].values.tolist() == [
        ["a.ogg#channel=2", 5.0, 1],
        ["b.ogg", 0.0, 0],
    ]
