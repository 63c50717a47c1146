"""Recordings with tables of labels as a source."""

from pathlib import Path

import numpy as np
import pytest

from birdcore.csv_table import TableError
from birdcore.sources.data_folder import read_data
from birdcore.sources.source import TABLES
from birdcore.store.store import Store
from tests.birdcore.sources.test_class_folders import made, recipe, write

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def test_noisy_pitta(shared_data: Path, store: Store) -> None:
    root = shared_data / "field" / "raven-noisy-pitta"
    said = {"label": "noisy pitta", "complete": True}
    source = read_data(root, store, recipe(annotations=said))
    assert source.layout == TABLES
    assert {s.use: len(s.files) for s in source.subsets} == {
        "labelled": 0, "annotated": 16, "unlabelled": 0, "test": 0,
    }  # fmt: skip
    catalog = made(source, store)
    assert catalog.species["label"].tolist() == ["noisy pitta"]
    assert catalog.annotated is not None
    assert len(catalog.annotated.annotations) == 23
    assert len(catalog.annotated.complete) == 16
    assert set(catalog.recordings["recording"]) == set(catalog.annotated.groups["recording"])


def test_incomplete_knows_only_negatives(shared_data: Path, store: Store) -> None:
    root = shared_data / "field" / "raven-noisy-pitta"
    catalog = made(read_data(root, store, recipe(annotations={"label": "x"})), store)
    assert catalog.annotated is not None
    complete = catalog.annotated.complete["recording"]
    assert complete.str.startswith("neg/").all()
    assert len(complete) == 9


def test_label_must_be_said(shared_data: Path, store: Store) -> None:
    with pytest.raises(TableError, match=r"data\.annotations\.label"):
        read_data(shared_data / "field" / "raven-noisy-pitta", store, recipe())


@pytest.mark.parametrize("complete", [True, False])
def test_three_peoples_tables_of_one_recording(
    tmp_path: Path, store: Store, complete: bool
) -> None:
    root = tmp_path / "d"
    write(root, "a.wav", "noise/b.wav")
    for person, rows in (("x", "0\t2\t\t\twren"), ("y", "5\t6\t\t\tnoise"), ("z", "")):
        line = f"1\tSpectrogram 1\t1\t{rows}\n" if rows else ""
        (root / f"a.{person}.selections.txt").write_text(f"{RAVEN}\tAnnotation\n{line}")
    said = {"annotator": "table", "complete": complete}
    catalog = made(read_data(root, store, recipe(annotations=said)), store)
    assert catalog.annotated is not None
    whole = [("a.wav", 0, np.inf, person) for person in "xyz"] if complete else []
    noise = [] if complete else [("a.wav", 5, 6, "y")]
    rows = catalog.annotated.complete.itertuples(index=False, name=None)
    assert sorted(rows) == sorted([*whole, *noise, ("noise/b.wav", 0, np.inf, "")])
    people = catalog.annotated.by_person
    assert [one.annotations["annotator"].unique().tolist() for one in people] == (
        [["x"], ["y"], []] if complete else [["x"], ["y"]]
    )


def test_stretches_of_noise_are_complete(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "d"
    write(root, "a.wav", "b.wav", "c.wav")
    rows = ("0\t2\t\t\twren", "3\t5\t\t\tnoise", "4\t6\t\t\tnoise")
    lines = [f"{n}\tSpectrogram 1\t1\t{row}" for n, row in enumerate(rows, 1)]
    (root / "a.Table.1.selections.txt").write_text(
        "\n".join([f"{RAVEN}\tAnnotation", *lines]) + "\n"
    )
    source = read_data(root, store, recipe(test=["c.wav"]))
    assert [f.path for f in source.subset("unlabelled").files] == ["b.wav"]
    catalog = made(source, store)
    assert catalog.annotated is not None
    stretches = catalog.annotated.complete[["start_s", "end_s"]].to_numpy()
    assert np.array_equal(stretches, [[3, 5], [5, 6]])
    assert catalog.species["label"].tolist() == ["wren"]
