"""What a recipe wants of a collection, and what is there of it: all without the archive."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from birdcore.archives import search as room
from birdcore.archives.client import open_archive
from birdcore.archives.folder import Failed, Fetched, note_failed, note_fetched, set_up
from birdcore.archives.record import Record
from birdcore.archives.record_table import read_records, write_records
from birdcore.archives.search import known_search, queries_of
from birdcore.archives.selection import Competition
from birdcore.archives.selection_state import (
    SEARCHES,
    chosen_path,
    chosen_records,
    due,
    missing,
    stale,
    tables_of,
    update_selection,
    write_failed,
)
from birdcore.config import XenoCanto
from birdcore.sources.collection import collected_part
from birdcore.store.files import file_sha256

WANTED = XenoCanto(areas=("europe", "asia"), search_age_h=2, min_quality="B")
NONE = Competition()
NOW = datetime.now(UTC)
BIRDS = [
    Record(n, "Turdus merula", recordist=f"r{n}", quality=q, length_s=9.0, file_url="https://x/1")
    for n, q in ((1, "A"), (2, "B"), (3, "C"), (4, "A"))
]
Searched = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    set_up(tmp_path)
    return tmp_path


@pytest.fixture
def searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Searched:
    """Put an answer of the archive into the collection, as `fresh_search` does."""

    def put(area: str, records: Sequence[Record], hours_ago: float = 0) -> None:
        monkeypatch.setattr(room, "search", lambda *_: list(records))
        with open_archive(WANTED.site, "key", lambda: None) as archive:
            asked = NOW - timedelta(hours=hours_ago)
            room.fresh_search(archive, f"area:{area}", folder / SEARCHES, 0, now=asked)

    return put


def fetch(folder: Path, *numbers: int) -> None:
    for number in numbers:
        content = f"sound {number}".encode()
        path = folder / "recordings" / f"XC{number}.mp3"
        path.write_bytes(content)
        note = Fetched(number, path.name, file_sha256(path), len(content), "https://x", "now")
        note_fetched(folder, note)


def fail(folder: Path, number: int, *, permanent: bool) -> None:
    note_failed(folder, Failed(number, "no", permanent, "now"))


def select(folder: Path, wanted: XenoCanto = WANTED) -> list[int]:
    return [record.id for record in update_selection(folder, wanted, NONE).chosen]


def test_a_query_is_stale_where_its_answer_is_missing_or_old(
    folder: Path, searched: Searched
) -> None:
    assert stale(folder, WANTED, NOW) == queries_of(WANTED) == ["area:europe", "area:asia"]
    searched("europe", BIRDS, hours_ago=1.9)
    searched("asia", [], hours_ago=2.1)
    assert stale(folder, WANTED, NOW) == ["area:asia"]
    assert stale(folder, WANTED, NOW + timedelta(hours=1)) == ["area:europe", "area:asia"]
    other = WANTED.model_copy(update={"site": "http://127.0.0.1:1"})
    assert stale(folder, other, NOW) == ["area:europe", "area:asia"]


def test_whether_a_query_is_stale_is_told_without_reading_its_answer(
    folder: Path, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched("europe", BIRDS)

    def read(path: Path) -> list[Record]:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(room, "read_records", read)
    assert stale(folder, WANTED, NOW) == ["area:asia"]


def test_choosing_takes_all_answers_however_old(folder: Path, searched: Searched) -> None:
    searched("europe", BIRDS[:2], hours_ago=999)
    searched("asia", BIRDS[1:], hours_ago=1)
    selected = update_selection(folder, WANTED, NONE)
    assert [record.id for record in selected.chosen] == [1, 2, 4]
    assert chosen_records(folder, WANTED, NONE) == selected.chosen
    left_out = pd.read_csv(tables_of(folder, WANTED, NONE)[0])
    assert left_out.to_dict("records") == [{"id": 3, "why": "quality C"}]


def test_a_choice_that_leaves_nothing_out_says_so_in_the_same_table(
    folder: Path, searched: Searched
) -> None:
    searched("europe", BIRDS[:1])
    select(folder)
    left_out = pd.read_csv(tables_of(folder, WANTED, NONE)[0])
    assert list(left_out.columns) == ["id", "why"]
    assert left_out.empty


def test_the_chosen_are_written_only_where_they_changed(folder: Path, searched: Searched) -> None:
    searched("europe", BIRDS)
    assert select(folder) == [1, 2, 4]
    path = chosen_path(folder, WANTED, NONE)
    before, written = path.read_bytes(), path.stat().st_ino
    searched("asia", [replace(BIRDS[2], id=5)])  # one more, of too bad a quality
    assert select(folder) == [1, 2, 4]
    assert (path.read_bytes(), path.stat().st_ino) == (before, written)
    searched("asia", [replace(BIRDS[1], id=5)])
    assert select(folder) == [1, 2, 4, 5]
    assert path.read_bytes() != before


def test_the_choice_depends_on_the_wishes_and_not_on_how_they_are_asked_for(
    folder: Path,
) -> None:
    paths = {
        chosen_path(folder, WANTED.model_copy(update=changed), NONE)
        for changed in ({}, {"per_second": 9.0}, {"per_page": 50}, {"search_age_h": 1.0})
    }
    assert len(paths) == 1
    its = Competition(frozenset({"Turdus merula"}), frozenset({1}))
    paths |= {chosen_path(folder, WANTED, its), chosen_path(folder, WANTED, Competition())}
    paths |= {chosen_path(folder, WANTED.model_copy(update={"site": "http://x.org"}), NONE)}
    paths |= {chosen_path(folder, WANTED.model_copy(update={"min_quality": "A"}), NONE)}
    assert len(paths) == 4


def test_missing_are_the_chosen_that_are_neither_there_nor_hopeless(
    folder: Path, searched: Searched
) -> None:
    searched("europe", BIRDS)
    select(folder)
    chosen = chosen_records(folder, WANTED, NONE)
    assert [r.id for r in missing(folder, chosen)] == [1, 2, 4]
    fetch(folder, 1, 3)
    fail(folder, 2, permanent=False)
    fail(folder, 4, permanent=True)
    assert [r.id for r in missing(folder, chosen)] == [2]
    (folder / "recordings" / "XC1.mp3").write_bytes(b"cut")
    assert [r.id for r in missing(folder, chosen)] == [1, 2]


def test_collecting_is_due_until_everything_was_tried(folder: Path, searched: Searched) -> None:
    assert due(folder, WANTED, NONE)
    searched("europe", BIRDS)
    assert due(folder, WANTED, NONE)
    searched("asia", [])
    assert due(folder, WANTED, NONE), "nothing was chosen yet"
    select(folder)
    fetch(folder, 1, 2)
    assert due(folder, WANTED, NONE)
    fail(folder, 4, permanent=False)
    assert not due(folder, WANTED, NONE)
    searched("asia", [], hours_ago=3)
    assert due(folder, WANTED, NONE), "tried again after the next search"


def test_a_collection_without_what_is_wanted_is_refused(folder: Path, searched: Searched) -> None:
    says = rf"{folder} holds no recording that \[xeno_canto\] wants: run birdflow collect"
    with pytest.raises(ValueError, match=says):
        collected_part(folder, WANTED, NONE)
    searched("europe", BIRDS)
    select(folder)
    fetch(folder, 3)
    with pytest.raises(ValueError, match=says):
        collected_part(folder, WANTED, NONE)
    with pytest.raises(ValueError, match=r"no/where holds no recording"):
        collected_part(Path("no/where"), WANTED, NONE)


def test_the_part_is_what_is_chosen_and_there(folder: Path, searched: Searched) -> None:
    searched("europe", BIRDS)
    select(folder)
    fetch(folder, 3, 4, 1)
    part = collected_part(folder, WANTED, NONE)
    assert part.root == folder
    files = part.subset("labelled").files
    ((chosen, digest),) = part.tables.items()
    assert [file.path for file in files] == ["recordings/XC1.mp3", "recordings/XC4.mp3"]
    assert digest == file_sha256(part.root / chosen)
    for file in files:
        assert file.sha256 == file_sha256(part.root / file.path)
        assert file.bytes == (part.root / file.path).stat().st_size
    assert [r.id for r in read_records(part.root / chosen)] == [1, 2, 4]


def test_recordings_that_changed_places_are_no_part(folder: Path, searched: Searched) -> None:
    searched("europe", BIRDS)
    select(folder)
    fetch(folder, 1, 2, 4)
    assert len(collected_part(folder, WANTED, NONE).subset("labelled").files) == 3
    one, other = (folder / "recordings" / f"XC{n}.mp3" for n in (1, 4))
    assert one.stat().st_size == other.stat().st_size
    one.rename(folder / "t")
    other.rename(one)
    (folder / "t").rename(other)
    assert [f.path for f in collected_part(folder, WANTED, NONE).subset("labelled").files] == [
        "recordings/XC2.mp3"
    ]


def test_a_search_under_another_name_is_not_taken(folder: Path) -> None:
    (query,) = queries_of(XenoCanto(areas=("europe",)))
    (folder / SEARCHES).mkdir()
    write_records(folder / SEARCHES / "other.parquet", BIRDS, {"asked": NOW.isoformat()})
    assert known_search(folder / SEARCHES, WANTED.site, query, None, NOW) is None
    assert select(folder) == []


def test_what_is_wanted_and_not_there_is_told_with_its_reason(
    folder: Path, searched: Searched
) -> None:
    searched("europe", BIRDS)
    ids = select(folder)
    assert len(ids) > 2
    note_failed(folder, Failed(ids[0], "site/7/download is not there", True, "now"))
    note_failed(folder, Failed(ids[1], "site/123/download is not there", False, "now"))
    assert write_failed(folder, WANTED, NONE) == {
        "site/…/download is not there": 2,
        "not tried yet": len(ids) - 2,
    }
    table = pd.read_csv(tables_of(folder, WANTED, NONE)[1])
    assert list(table["id"]) == ids
    assert table["why"][1] == "site/123/download is not there"


@pytest.mark.parametrize("harm", ["empty", "garbage", "cut", "other columns", "other types"])
def test_a_damaged_selection_is_none_and_is_made_again(
    folder: Path, searched: Searched, harm: str
) -> None:
    for area in WANTED.areas:
        searched(area, BIRDS)
    before = update_selection(folder, WANTED, NONE).chosen
    fetch(folder, *(record.id for record in before if record.id is not None))
    assert not due(folder, WANTED, NONE)
    path = chosen_path(folder, WANTED, NONE)
    if harm == "other columns":
        pd.DataFrame({"a": [1]}).to_parquet(path)
    elif harm == "other types":
        pd.DataFrame({"id": ["x"], "types": [5]}).to_parquet(path)
    else:
        content = path.read_bytes()
        path.write_bytes({"empty": b"", "garbage": b"no", "cut": content[:-9]}[harm])
    assert chosen_records(folder, WANTED, NONE) == []
    assert due(folder, WANTED, NONE)
    with pytest.raises(ValueError, match="run birdflow collect"):
        collected_part(folder, WANTED, NONE)
    update_selection(folder, WANTED, NONE)
    assert chosen_records(folder, WANTED, NONE) == before
