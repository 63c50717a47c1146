"""The table of predictions and the formats in which it is written."""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from birdcore.config.recipe import FormatName
from birdcore.inference.predictions import WRITERS, Predictions, write_predictions

TABLE = Predictions(
    recordings=("site/a.ogg", "site/a.ogg"),
    start_s=np.array([0.0, 5.0]),
    end_s=np.array([5.0, 10.0]),
    classes=("robin", "wren"),
    probabilities=np.array([[0.25, 0.5], [0.125, 0.75]]),
)


def test_submission_has_a_row_per_segment_and_a_column_per_class(tmp_path: Path) -> None:
    write_predictions(tmp_path / "rows.csv", TABLE, "submission")
    assert (
        tmp_path / "rows.csv"
    ).read_text() == "row_id,robin,wren\na_5,0.25,0.5\na_10,0.125,0.75\n"


def test_csv_has_a_row_per_segment_and_class(tmp_path: Path) -> None:
    write_predictions(str(tmp_path / "long.csv"), TABLE)
    table = pd.read_csv(tmp_path / "long.csv")
    assert list(table.columns) == ["recording", "start", "end", "class", "confidence"]
    assert list(table["class"]) == ["robin", "wren"] * 2
    assert list(table["confidence"]) == [0.25, 0.5, 0.125, 0.75]


def test_parquet_has_a_column_per_class(tmp_path: Path) -> None:
    write_predictions(tmp_path / "wide.parquet", TABLE, "parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "wide.parquet"), TABLE.wide())


def test_long_table_leaves_out_what_is_below_the_threshold() -> None:
    table = TABLE.long(threshold=0.5)
    assert list(table["class"]) == ["wren", "wren"]
    assert list(table["end"]) == [5.0, 10.0]


def test_unknown_format_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=", ".join(WRITERS)):
        write_predictions(tmp_path / "x", TABLE, "mp3")


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 classes do not fit .* \(2, 3\)"):
        Predictions(("a", "b"), np.zeros(2), np.zeros(2), ("x", "y"), np.zeros((2, 3)))


def test_recipe_may_name_every_format_but_the_submission() -> None:
    assert {"submission", *get_args(FormatName)} == WRITERS.keys()
    suffixes = [WRITERS[name].suffix for name in get_args(FormatName)]
    assert len(set(suffixes)) == len(suffixes)  # each has a file of its own
