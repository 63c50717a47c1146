"""The table of segments: what is written is found again, whatever the times."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.verdicts import SegmentTable, detection_key, read_segments
from birdcore.text import spreadsheet_cell

times = st.floats(0, 100_000)


@given(times, times, st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])))
def test_detections_are_known_by_their_rows(
    tmp_path_factory: pytest.TempPathFactory, start_s: float, end_s: float, text: str
) -> None:
    path = tmp_path_factory.mktemp("table") / "segments.csv"
    table = SegmentTable()
    cells = {"file": text, "class": text, "segment": "a/b.wav", "start_s": start_s, "end_s": end_s}
    table.add(cells)
    table.write(path)
    read = read_segments(path)
    key = detection_key(text, text, np.float64(start_s), np.float64(end_s))
    assert list(read.known()) == [key]
    first = path.read_bytes()
    read.write(path)
    assert path.read_bytes() == first
    assert spreadsheet_cell(read.rows[0]["file"]) == spreadsheet_cell(text)


def test_numpy_rounds_as_the_table_does() -> None:
    start_s = np.float64(5.674954574771773)
    assert detection_key("", "", start_s, 0.0) == detection_key("", "", "5.675", "0,0")


def test_a_quote_that_does_not_end_is_said_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    for header in ('file,"class\n', 'file,class\n"a.wav,b\n'):
        path.write_text(header + "a.wav,b,0,3\n" * 20_000)
        with pytest.raises(ValueError, match=r"segments\.csv, line \d+: field larger"):
            read_segments(path)
