"""`--out`: a person's own files stay as they are, whatever they are called."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.result_folder import MARK, ForeignFile, refuse_foreign, replace_results, write_results_to

FILES: dict[str, str | Path] = {
    "submission.csv": "row_id,a\n",
    "submission-first.csv": "row_id,a\n",
    "summary.md": "# Run\n",
    "report/index.html": "<p>page",
    "report/sounds/a.mp3": "a",
}


def content(out: Path) -> dict[str, str]:
    files = (p for p in out.rglob("*") if p.is_file() and p.name != MARK)
    return {p.relative_to(out).as_posix(): p.read_text() for p in files}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def test_results_are_replaced_and_those_of_an_earlier_run_removed(out: Path) -> None:
    replace_results(out, FILES)
    assert content(out) == FILES
    (out / "notes.txt").write_text("mine")
    (out / "report" / "mine.txt").write_text("mine too")
    later: dict[str, str | Path] = {"submission.csv": "row_id,b\n", "scores.json": "{}"}
    replace_results(out, later)
    mine = {"notes.txt": "mine", "report/mine.txt": "mine too"}
    assert content(out) == later | mine
    assert not (out / "report" / "sounds").exists()
    with pytest.raises(ForeignFile, match=r"mine\.txt"):  # the folder is now a person's own
        replace_results(out, FILES)
    (out / "report" / "mine.txt").unlink()
    replace_results(out, FILES)
    assert content(out) == FILES | {"notes.txt": "mine"}


def test_files_are_copied_and_left_where_they_are_the_same(out: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    replace_results(out, {"summary.md": source})
    first = (out / "summary.md").stat().st_ino
    replace_results(out, {"summary.md": source})
    assert (out / "summary.md").stat().st_ino == first
    source.write_text("two")
    replace_results(out, {"summary.md": source})
    assert content(out) == {"summary.md": "two"}


Own = Callable[[Path], object]
OWN: dict[str, Own] = {
    "report/": lambda out: (out / "report").mkdir() or (out / "report" / "thesis").write_text("x"),
    "report/ of pages": lambda out: (
        (out / "report").mkdir() or (out / "report" / "index.html").write_text("x")
    ),
    "report": lambda out: (out / "report").write_text("x"),
    "submission.csv": lambda out: (out / "submission.csv").write_text("x"),
    "submission-mine.csv": lambda out: (out / "submission-mine.csv").write_text("x"),
    "a folder": lambda out: (out / "summary.md").mkdir() or (out / "summary.md" / "a").touch(),
    "a link": lambda out: (out / "scores.json").symlink_to(out.parent / "elsewhere"),
    "a linked report": lambda out: (out / "report").symlink_to(out.parent),
    "a list that is none": lambda out: (
        (out / MARK).write_text("[" * 9999) and (out / "cuts.csv").write_text("x")
    ),
    "a list that climbs": lambda out: (
        (out / MARK).write_text(
            json.dumps({"files": {"../elsewhere": "0" * 64, "/etc/passwd": "0" * 64}})
        )
        and (out / "cuts.csv").write_text("x")
    ),
}


@pytest.mark.parametrize("kind", OWN)
def test_what_birdflow_did_not_write_is_refused_and_stays(out: Path, kind: str) -> None:
    out.mkdir(parents=True)
    (out.parent / "elsewhere").write_text("elsewhere")
    OWN[kind](out)
    before = content(out.parent)
    with pytest.raises(ForeignFile, match=r"was not written by birdflow.*move it away.*--out"):
        refuse_foreign(out)
    with pytest.raises(ForeignFile):
        replace_results(out, FILES)
    assert content(out.parent) == before


def test_a_folder_of_other_things_is_none_to_refuse(out: Path) -> None:
    out.mkdir(parents=True)
    (out / "submissions.csv").write_text("x")
    (out / "reports").mkdir()
    refuse_foreign(out)
    replace_results(out, FILES)
    assert content(out) == FILES | {"submissions.csv": "x"}


def test_a_file_or_a_link_to_nothing_is_no_folder(out: Path) -> None:
    out.parent.mkdir()
    out.symlink_to(out.parent / "nothing")
    with pytest.raises(ForeignFile, match="no folder"):
        refuse_foreign(out)
    out.unlink()
    out.write_text("x")
    with pytest.raises(ForeignFile, match="no folder"):
        refuse_foreign(out)


def test_a_link_in_the_place_of_a_result_is_not_followed(out: Path) -> None:
    replace_results(out, FILES)
    own = out.parent / "own"
    own.write_text("own")
    (out / "summary.md").unlink()
    (out / "summary.md").symlink_to(own)
    with pytest.raises(ForeignFile):
        replace_results(out, FILES)
    with pytest.raises(ForeignFile):
        write_results_to(out, {"summary.md": "# Run\n"})
    assert own.read_text() == "own"


def test_a_stale_result_that_somebody_has_changed_stays(out: Path) -> None:
    replace_results(out, FILES)
    (out / "summary.md").write_text("my notes")
    replace_results(out, {"submission.csv": "row_id\n"})
    assert content(out) == {"submission.csv": "row_id\n", "summary.md": "my notes"}
    with pytest.raises(ForeignFile, match=r"summary\.md"):
        refuse_foreign(out)


def test_a_list_that_climbs_removes_nothing(out: Path) -> None:
    replace_results(out, FILES)
    own = out.parent / "own"
    own.write_text("own")
    listed = json.loads((out / MARK).read_text())
    listed["files"]["../own"] = "3a1d0f8d3bf7c5c2f2e7c1c7d2c3a3b1" * 2
    listed["files"][str(own)] = listed["files"]["summary.md"]
    (out / MARK).write_text(json.dumps(listed))
    replace_results(out, {"submission.csv": "x"})
    assert own.read_text() == "own"


def test_one_result_by_itself_leaves_the_others(out: Path) -> None:
    replace_results(out, FILES)
    write_results_to(out, {"problems.csv": "a\n"})
    assert content(out) == FILES | {"problems.csv": "a\n"}
    replace_results(out, FILES)
    assert content(out) == FILES


def test_results_of_an_earlier_version_are_known_by_its_mark(out: Path) -> None:
    (out / "report" / "sounds").mkdir(parents=True)
    (out / "report" / ".birdflow").write_text("report/0123 2026\n")
    (out / "report" / "index.html").write_text("old")
    (out / "submission.csv").write_text("old")
    (out / "notes.txt").write_text("mine")
    replace_results(out, {"submission.csv": "new"})
    assert content(out) == {"submission.csv": "new", "notes.txt": "mine"}
