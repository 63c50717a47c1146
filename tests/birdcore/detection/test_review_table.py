"""Verdicts on the disk: labels that a run reads; kills, full disks and edits lose nothing."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations.annotation import Kind
from birdcore.annotations.readers import format_of, read_annotations
from birdcore.annotations.table import Table
from birdcore.config import Annotations
from birdcore.detection.review_order import Clip
from birdcore.detection.review_table import (
    COLUMNS,
    Verdict,
    VerdictTable,
    check_name,
    open_table,
    read_verdicts,
)

FILE = "=site/day, 1.wav"
CLIPS = [Clip(FILE, 3.0 * n, 3.0 * n + 3, "amered", "Setophaga", "Redstart", 0.5) for n in range(4)]
YES, NO, UNSURE, WREN = Verdict("yes"), Verdict("no"), Verdict("unsure"), Verdict("other", "wren")
verdicts = st.one_of(
    st.sampled_from([YES, NO, UNSURE]),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)
    .filter(lambda name: name != "amered" and not name.startswith("'"))
    .map(lambda name: Verdict("other", name)),
)


@pytest.fixture
def table(tmp_path: Path) -> VerdictTable:
    return open_table(tmp_path / "ana.csv", "ana")


def test_a_run_reads_them_as_labels(table: VerdictTable) -> None:
    for clip, verdict in zip(CLIPS, (YES, NO, UNSURE, WREN), strict=True):
        table.add(clip, verdict)
    assert format_of(Table(table.path, "ana.csv")) == "hoplite"
    found = read_annotations(table.path.parent, [FILE], Annotations(annotator="annotator"))
    assert found.problems == ()
    expected: list[tuple[float, float, str, Kind]] = [
        (0, 3, "amered", "present"),
        (3, 6, "amered", "absent"),
        (6, 9, "amered", "uncertain"),
        (9, 12, "amered", "absent"),
        (9, 12, "wren", "present"),
    ]
    assert [(a.start_s, a.end_s, a.label, a.kind) for a in found.annotations] == expected
    assert {a.annotator for a in found.annotations} == {"ana"}
    assert found.recordings == {FILE}


@given(given_=st.lists(st.tuples(st.sampled_from(CLIPS), verdicts), max_size=12))
def test_the_last_verdict_of_a_clip_is_what_is_read_back(
    given_: list[tuple[Clip, Verdict]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("verdicts") / "ana.csv"
    table = open_table(path, "ana")
    for clip, verdict in given_:
        table.add(clip, verdict)
        assert read_verdicts(path)[clip.key] == verdict
    if given_:
        assert open_table(path, "ana").verdicts == table.verdicts


def test_a_verdict_is_appended_and_only_a_change_writes_anew(table: VerdictTable) -> None:
    table.add(CLIPS[0], YES)
    before, file = table.path.read_text(), table.path.stat().st_ino
    table.add(CLIPS[1], WREN)
    assert table.path.read_text().startswith(before)
    assert table.path.stat().st_ino == file
    table.add(CLIPS[1], NO)
    assert "wren" not in table.path.read_text()
    assert table.path.read_text().startswith(before)


@pytest.mark.parametrize("lost", [1, 10, 40, 70])
def test_a_line_that_was_cut_is_left_out(table: VerdictTable, lost: int) -> None:
    table.add(CLIPS[0], YES)
    table.add(CLIPS[1], NO)
    whole = table.path.read_bytes()
    table.path.write_bytes(whole[:-lost])
    again = open_table(table.path, "ana")
    if lost == 1:  # but for its end, the line is there
        assert (again.cut, len(again.verdicts)) == ("", 2)
    else:
        assert again.cut
        assert again.verdicts == {CLIPS[0].key: YES}
    again.add(CLIPS[1], NO)
    again.add(CLIPS[2], UNSURE)
    assert list(read_verdicts(table.path).values()) == [YES, NO, UNSURE]


def test_a_full_disk_leaves_no_part_of_a_line(
    table: VerdictTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.add(CLIPS[0], YES)
    before, write = table.path.read_bytes(), os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, content: write(handle, content[:20]))
        with pytest.raises(OSError, match="No space") as caught:
            table.add(CLIPS[1], NO)
    assert caught.value.errno == errno.ENOSPC
    assert table.path.read_bytes() == before
    table.add(CLIPS[1], NO)
    assert read_verdicts(table.path)[CLIPS[1].key] == NO


def test_what_a_spreadsheet_saved_goes_on(table: VerdictTable) -> None:
    table.add(CLIPS[0], YES)
    head = ";".join(COLUMNS)
    text = f'{head};remark\n"\'{FILE}";0,0;3,00;amered;positive;amered;0,5;ana;2026-01-01;loud\n'
    table.path.write_text(text)
    again = open_table(table.path, "ana")
    assert again.verdicts == {CLIPS[0].key: YES}
    again.add(CLIPS[1], NO)
    again.add(CLIPS[1], YES)
    assert again.path.read_text().startswith(text.splitlines()[0] + "\n")
    assert ";loud\n" in again.path.read_text()
    assert read_verdicts(table.path) == {CLIPS[0].key: YES, CLIPS[1].key: YES}


def test_other_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("file,label\na.wav,wren\n")
    with pytest.raises(ValueError, match=r"x\.csv has no column 'recording', so it is no table"):
        open_table(tmp_path / "x.csv", "x")
    table = open_table(tmp_path / "y.csv", "y")
    table.add(CLIPS[0], YES)
    text = table.path.read_text()
    for old, new, message in (
        ("positive", "maybe", "label_type 'maybe' is none of positive, negative, uncertain"),
        (",0,3,", ",,3,", r"y\.csv:2: a time in seconds is missing or none"),
    ):
        table.path.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=message):
            open_table(table.path, "y")


@pytest.mark.parametrize(
    "verdict", [Verdict("other", "amered"), Verdict("other"), Verdict("no", "x")]
)
def test_another_class_is_another(table: VerdictTable, verdict: Verdict) -> None:
    with pytest.raises(ValueError, match="another class"):
        table.add(CLIPS[0], verdict)
    assert not table.path.exists()


def test_names_of_people_are_names_of_files() -> None:
    for name in ("ana", "Ana M.-2", "Jürgen", "x"):
        assert check_name(name) == name
    for name in ("", "../ana", "a/b", ".ana", "ana ", "x" * 41, "a\nb"):
        with pytest.raises(ValueError, match="--annotator"):
            check_name(name)
