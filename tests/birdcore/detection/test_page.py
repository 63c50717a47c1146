"""The page of detections, as a file: what it says, and what it costs."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from birdcore.detection.page import few, write_page
from birdcore.pages.template import audio

NAMES = ["S4A03895_20190522_060000.flac", "S4A03895_20190522_073000.flac"]
EVENTS = {
    NAMES[0]: [(1.0, 3.0, 0, 0.91), (7.5, 9.9, 1, 0.26), (2.0, 2.5, 2, 0.5)],
    NAMES[1]: [(0.0, 0.4, 0, 0.4)],
    "S4A03895_20190522_000000.flac": [],
}


def cells(page: str, table: str, row: str) -> list[str]:
    """The texts of a table's first row that has a text in it."""
    found = page[page.index(f'id="{table}"') :]
    line = next(line for line in found.splitlines() if line.startswith("<tr><t") and row in line)
    return [re.sub("<.*?>", "", cell) for cell in re.split("<t[dh]", line.replace(">", "> "))[1:]]


def test_page_counts_what_was_detected(detected: Any, shared_data: Path) -> None:
    out = detected(
        EVENTS, root=shared_data / "field" / "recorder-day", failed={"bad<.wav": "no sound & more"}
    )
    page = write_page(out).read_text()
    assert "4 detections of 3 species" in page
    assert 'In 3 recordings, 30 s of audio, of <span class="date">2019-05-22</span>.' in page
    assert "<small>1 without a detection</small>" in page
    row = [cell.split("> ")[-1].strip() for cell in cells(page, "hours-table", "Blackbird")]
    assert row[1] == "2"
    assert [n for n, cell in enumerate(row[2:]) if cell == "1"] == [6, 7]
    assert "bad&lt;.wav" in page
    assert "no sound &amp; more" in page
    assert "<script>alert" not in page
    pieces = {path.stem for path in (out / "page").iterdir()}
    assert len(pieces) == 4
    assert {path.suffix for path in (out / "page").iterdir()} == {".png", ".flac"}
    for link in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
        assert link == "data:," or (out / link).is_file()


def test_next_page_draws_what_is_new_and_removes_the_rest(detected: Any, shared_data: Path) -> None:
    root = shared_data / "field" / "recorder-day"
    out = detected(EVENTS, root=root)
    (out / "page").mkdir()
    (out / "page" / f"{'0' * 16}.png").touch()
    (out / "page" / "notes.txt").touch()
    page = write_page(out)
    before, text = (
        {path: path.stat().st_mtime_ns for path in (out / "page").iterdir()},
        page.read_text(),
    )
    assert len(before) == 2 * 4 + 1
    assert write_page(out).read_text() == text
    assert {path: path.stat().st_mtime_ns for path in (out / "page").iterdir()} == before


def test_recordings_that_are_gone_cost_their_pictures_only(
    detected: Any, shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / NAMES[0]).symlink_to(
        shared_data / "field" / "recorder-day" / NAMES[0]
    )
    out = detected(EVENTS)
    page = write_page(out).read_text()
    assert "1 piece of 4 has no picture and no sound: can&#39;t be opened: No such file" in page
    assert len(list((out / "page").iterdir())) == 2 * 3
    assert page.count("no picture: can") == 1
    elsewhere = write_page(out, shared_data / "field" / "recorder-day").read_text()
    assert "no picture" not in elsewhere
    (out / ".detect" / "settings.json").unlink()
    assert "No piece has a picture and a sound: it is not known" in write_page(out).read_text()


@pytest.mark.parametrize("events", [{}, {"a.wav": []}])
def test_nothing_detected_is_said(detected: Any, events: dict[str, Any]) -> None:
    page = write_page(detected(events)).read_text()
    assert "0 detections of 0 species" in page
    assert page.count("Nothing was detected.") == 3


def test_folder_of_any_name_has_a_page(detected: Any, tmp_path: Path) -> None:
    for number, name in enumerate((b"Vog\xe9l 1", "V\u00f6gel\n\x1b[2J <b>".encode())):
        out = detected({"a.wav": []}, root=tmp_path / os.fsdecode(name), folder=f"out{number}")
        page = write_page(out).read_text()
        assert ("detections · Vogl 1<", "detections · V\u00f6gel [2J &lt;b&gt;<")[number] in page


def test_pages_are_written_by_several_processes(
    detected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = detected({"a.wav": []})
    gone = out / "page" / f"{'1' * 16}.flac"
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([gone]))  # another removes it now
    assert write_page(out).is_file()


def test_recordings_without_a_time_are_counted_apart(detected: Any) -> None:
    page = write_page(detected({"a.wav": [(1, 2, 0, 0.5)], NAMES[0]: [(1, 2, 0, 0.5)]})).read_text()
    assert "1 detection is of recordings without a time" in page
    page = write_page(detected({"a.wav": [(1, 2, 0, 0.5)]}, folder="none")).read_text()
    assert page.count("The recordings do not say when they were made") == 2


def test_a_folder_without_detections_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no detections"):
        write_page(tmp_path)
    assert not list(tmp_path.iterdir())


def test_numbers_are_short() -> None:
    assert [few(n) for n in (0, 0.2, 1, 949, 1234, 9949, 9950, 123456)] == [
        "", "<1", "1", "949", "1.2k", "9.9k", "10k", "123k"
    ]  # fmt: skip
    assert [audio(h) for h in (0, 0.01, 0.5, 1.25, 12345)] == [
        "0 s", "36 s", "30 min", "1.2 h", "12\u202f345 h"
    ]  # fmt: skip
