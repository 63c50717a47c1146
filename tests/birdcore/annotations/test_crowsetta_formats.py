import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.annotations.annotation import Annotated
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
GRID = "AVO-maea-basic.TextGrid"
NOT_MAT = "gy6or6_baseline_230312_0808.138.cbin.not.mat"


@pytest.fixture
def folder(shared_data: Path, tmp_path: Path) -> Path:
    for name, recording in (
        (GRID, "AVO-maea-basic.wav"),
        (NOT_MAT, "gy6or6_baseline_230312_0808.138.wav"),
    ):
        shutil.copy(shared_data / "field" / "other-formats" / name, tmp_path)
        (tmp_path / recording).touch()
    return tmp_path


def test_real_files_of_praat_and_evsonganaly(folder: Path, read: Read) -> None:
    found = read(folder)
    grid = [each for each in found.annotations if each.recording == "AVO-maea-basic.wav"]
    assert len(grid) == 13  # two tiers of seven; a name has the same text in both
    assert [tuple(each) for each in found.problems] == [
        ("row that is there twice, counted once", f"{GRID}:9", "1 row")
    ]
    assert (grid[0].end_s, grid[0].label) == (0.051451575248407266, "'o")
    song = [each for each in found.annotations if each not in grid]
    assert len(song) == 78
    assert (song[0].start_s, song[0].label) == (pytest.approx(1.27778125), "i")


def test_a_tier_can_be_named(folder: Path, read: Read) -> None:
    (folder / NOT_MAT).unlink()
    assert [each.label for each in read(folder, label_column="gloss").annotations][:2] == [
        "PRES",
        "Sione",
    ]
    with pytest.raises(TableError, match=r"TextGrid:1: no tier 'Tune'; there are samoan, gloss"):
        read(folder, label_column="Tune")


def test_damaged_files_and_a_missing_package_are_said(
    folder: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / GRID).write_text("no grid")
    with pytest.raises(TableError, match=r"basic\.TextGrid:1: damaged: \w+: "):
        read(folder)
    monkeypatch.setitem(sys.modules, "crowsetta.formats.seq", None)
    with pytest.raises(TableError, match=r"pip install 'birdflow\[annotations\]'"):
        read(folder)
