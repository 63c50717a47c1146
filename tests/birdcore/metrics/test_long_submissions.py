"""Submissions of 2021 and 2022, which say yes or no, as `birdflow score` reads them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.metrics import match_files, read_submission, read_truth


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


BIRDS = ("row_id,birds", "7019_COR_5,rucwar acafly", "7019_COR_10,nocall", "7019_COR_15,acafly")
TARGETS = (
    "row_id,target",
    "soundscape_1_acafly_5,True",
    "soundscape_1_rucwar_5,true",
    "soundscape_1_acafly_10,False",
    "soundscape_1_rucwar_10,0",
)


def test_the_form_of_2021(tmp_path: Path) -> None:
    read = read_submission(write(tmp_path / "s.csv", *BIRDS))
    assert read.row_ids == ("7019_COR_5", "7019_COR_10", "7019_COR_15")
    assert read.labels == ("acafly", "rucwar")
    assert read.scores.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_the_form_of_2022(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", *TARGETS)
    for read in (read_submission(path), read_truth(path)):
        assert read.row_ids == ("soundscape_1_5", "soundscape_1_10")
        assert read.labels == ("acafly", "rucwar")
        assert read.scores.tolist() == [[1, 1], [0, 0]]


def test_real_tables_of_both_years(shared_data: Path) -> None:
    tables = shared_data / "field" / "birdclef-tables"
    labels = tables / "birdclef2021" / "train_soundscape_labels.csv"
    rows = pd.read_csv(labels)
    both = match_files(labels, labels)  # with further columns it is a truth, no submission
    assert both.row_ids == tuple(rows["row_id"])
    sample = read_submission(tables / "birdclef2022" / "sample_submission.csv")
    assert sample.labels == ("akiapo",)
    assert sample.scores.tolist() == [[0], [0], [0]]


def test_a_class_that_is_listed_nowhere_is_a_no(tmp_path: Path) -> None:
    given = write(tmp_path / "s.csv", *BIRDS)
    truth = write(tmp_path / "t.csv", "row_id,acafly,veery", "7019_COR_5,1,1", "7019_COR_10,0,0")
    both = match_files(given, truth)
    assert both.labels == ("acafly", "veery")
    np.testing.assert_array_equal(both.scores, [[1, 0], [0, 0]])
    assert both.classes_missing == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("row_id,birds", "x_5,a", "x_5,b"), ", line 3, column row_id: 'x_5' is there twice"),
        (("row_id,birds", "x_5,"), ", line 2, column birds: empty; where no class is heard"),
        (("row_id,birds",), ":1: no rows below the header"),
        (("row_id,target", "x_5,true"), ", line 2, column row_id: 'x_5' is no window and class"),
        (("row_id,target", "x_a_5,maybe"), ", line 2, column target: 'maybe' is not true, false"),
        (
            ("row_id,target", "x_a_5,true", "x_b_5,true", "x_a_10,true"),
            ": window x_10 has no row for class b: add it",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    path = write(tmp_path / "s.csv", *lines)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path) + message)}"):
        read_submission(path)
