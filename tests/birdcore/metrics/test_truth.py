"""True labels in their forms, of real competitions, and what is wrong with a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.metrics import match_files, read_truth
from birdcore.metrics.truth import has_rows


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_labels_of_2026_are_windows_each_once(shared_data: Path) -> None:
    path = shared_data / "birdclef-2026-mini" / "train_soundscapes_labels.csv"
    truth = read_truth(path)
    rows = pd.read_csv(path, dtype=str).drop_duplicates()
    assert len(truth.row_ids) == len(rows) == 63
    assert truth.row_ids[0] == "BC2026_Train_0001_S05_20250601_000000_5"
    # the window from second 10 is not labelled: it is no row
    assert truth.row_ids[2] == "BC2026_Train_0001_S05_20250601_000000_20"
    assert "1139546" in truth.labels
    named = [set(cell.split(";")) for cell in rows["primary_label"]]
    assert truth.scores.sum() == sum(map(len, named))
    for marks, labels in zip(truth.scores, named, strict=True):
        assert {truth.labels[at] for at in np.flatnonzero(marks)} == labels


def test_the_labels_of_2021_are_rows(shared_data: Path) -> None:
    path = shared_data / "field" / "birdclef-tables" / "birdclef2021"
    path /= "train_soundscape_labels.csv"
    truth = read_truth(path)
    rows = pd.read_csv(path)
    assert truth.row_ids == tuple(rows["row_id"])
    assert "nocall" not in truth.labels
    calls = rows["birds"] != "nocall"
    np.testing.assert_array_equal(truth.scores.any(axis=1), calls)
    assert truth.scores.sum() == rows["birds"][calls].str.split().map(len).sum()


def test_classes_that_a_long_table_does_not_name_are_not_there(tmp_path: Path) -> None:
    truth = write(
        tmp_path / "truth.csv",
        "filename,start,end,primary_label",
        "site/x.ogg,0,5,b;z",
        "site/x.ogg,00:00:55,00:01:00,nocall",
        "site/x.ogg,0,5,a",
    )
    given = write(
        tmp_path / "given.csv", "row_id,c,b,a", "x_60,.1,.2,.3", "x_5,.4,.5,.6", "x_10,0,0,0"
    )
    both = match_files(given, truth)
    assert both.row_ids == ("x_5", "x_60")
    assert both.labels == ("c", "b", "a")
    np.testing.assert_array_equal(both.truth, [[False, True, True], [False] * 3])
    np.testing.assert_array_equal(both.scores, [[0.4, 0.5, 0.6], [0.1, 0.2, 0.3]])
    assert both.classes_missing == ("z",)
    assert both.rows_missing == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("row_id,birds", "x_5,a", "x_10,"), ":3, column birds: empty; where no class is"),
        (("row_id,birds", ",a"), ":2, column row_id: empty"),
        (("row_id,birds",), ":1: no rows below the header"),
        (("filename,end,label", "x,5,a"), ":1: no column start"),
        (
            ("filename,start,end,label", "x,0,5,a", "x,5,soon,a"),
            ":3, column end: 'soon' is no time: give seconds or HH:MM:SS",
        ),
        (("row_id,a,b", "x_5,1,2"), ", row x_5, column b: 2 is neither 0 nor 1"),
        (("filename,start,end", "x,0,5"), ", line 1: no column row_id among filename"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    path = write(tmp_path / "truth.csv", *lines)
    with pytest.raises(ValueError, match=r"truth\.csv") as caught:
        read_truth(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_quote_that_does_not_end_is_said_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    for text in ('row_id,"labels\n' + "x_5,a b\n" * 20_000, 'row_id,"' + "label," * 30_000):
        path.write_text(text)
        assert has_rows(path)
        with pytest.raises(ValueError, match=r"truth\.csv, line \d+: field larger"):
            read_truth(path)
