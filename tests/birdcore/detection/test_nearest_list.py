"""A list of the nearest windows, and the table that it becomes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from birdcore.detection.cuts import root_of
from birdcore.detection.nearest_list import (
    Window,
    check_replaceable,
    nearest_windows,
    write_nearest_list,
)
from birdcore.detection.read import read_detections
from birdcore.detection.table import Species
from birdcore.teachers.nearest import write_nearest

WREN = Species("wren", "Troglodytes troglodytes", "Wren")


def test_no_two_windows_overlap_and_roots_are_told_apart(tmp_path: Path) -> None:
    angles = np.array([0.0, 0.1, 0.2, 0.3, 0.05])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    write_nearest(tmp_path, [embeddings], 5, 2)
    table = pa.table(
        {
            "recording": ["a.wav"] * 5,
            "start": [0.0, 1.5, 3.0, 4.5, 0.0],
            "end": [3.0, 4.5, 6.0, 7.5, 3.0],
            "part": [0, 0, 0, 0, 1],
        }
    )
    pq.write_table(table, tmp_path / "windows.parquet")
    roots = [tmp_path / "one", tmp_path / "two"]
    wanted = np.float32([1, 0])
    found = nearest_windows(tmp_path, tmp_path / "windows.parquet", roots, wanted, 9)
    assert [(one.file.parent.name, one.start_s) for one in found] == [
        ("one", 0), ("two", 0), ("one", 3),
    ]  # fmt: skip
    assert found[0].similarity == pytest.approx(1, abs=1e-3)
    assert len(nearest_windows(tmp_path, tmp_path / "windows.parquet", roots, wanted, 1)) == 1


def test_a_list_is_a_table_of_detections(tmp_path: Path) -> None:
    path, recording = tmp_path / "nearest.csv", tmp_path / "=a.wav"
    recording.touch()
    windows = [Window(recording, 0.0, 3.0, 0.91), Window(recording, 4.123456, 7.5, -0.2)]
    write_nearest_list(path, windows, WREN, "fake", Path("clip.wav"))
    table = read_detections(path)
    assert table["confidence"].tolist() == [0.91, 0.0]
    assert table["start_s"].tolist() == [0.0, 4.1235]
    assert set(table["class"]) == {"wren"}
    assert set(table["file"]) == {str(recording)}
    assert root_of(path, None, table) == Path("/")
    check_replaceable(path)
    check_replaceable(tmp_path / "new.csv")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"model\nother\n", b"\xff\xfe\x00"])
def test_another_file_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "detections.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no list of birdflow search: give another --out"):
        check_replaceable(path)
