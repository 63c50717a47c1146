"""Recordings from the archive on loopback: each once and whole, whatever goes wrong on the way."""

import errno
import json
import pickle
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.collect import download
from birdcore.collect import folder as collection
from birdcore.collect.download import Unusable, fetch, fetch_all
from birdcore.collect.folder import collected, failures, find, recording_path
from birdcore.collect.partial import Origin, Partial, held
from birdcore.collect.polite import Archive, ArchiveError, Refused, open_archive
from birdcore.collect.record import Record
from birdcore.demo.archive import KINDS, Fault, Faults, Served, serve
from birdcore.files import file_sha256

KEY = "a-key-that-nobody-may-read"
NAMES = ("XC1.mp3", "XC2.flac", "XC3.wav")
SECONDS, RATE = 3, 16_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        sf.write(folder / "audio" / name, rng.normal(0, 0.1, SECONDS * RATE), RATE)
    return folder


@dataclass(frozen=True)
class Site:
    """A served archive, a client of it, and the collection that is filled from it."""

    shelf: Path
    served: Served
    faults: Faults
    client: Archive
    folder: Path

    def record(self, number: int) -> Record:
        """The record of a recording, also of one that the archive does not have."""
        suffix = next((Path(n).suffix for n in NAMES if n.startswith(f"XC{number}.")), ".mp3")
        url = f"{self.served.url}/{number}/download"
        return Record(number, file_url=url, suffix=suffix, length_s=float(SECONDS))

    def original(self, number: int) -> bytes:
        return next((self.shelf / "audio").glob(f"XC{number}.*")).read_bytes()

    @property
    def statuses(self) -> list[int]:
        return [status for _, _, status in self.served.log]

    def left(self) -> set[str]:
        return {path.name for path in (self.folder / "partial").iterdir()}

    def impatient(self) -> Archive:
        return replace(self.client, retries=0)


@pytest.fixture
def site(recordings: Path, tmp_path: Path) -> Iterator[Site]:
    shelf = Path(shutil.copytree(recordings, tmp_path / "shelf"))
    raw = [{"id": str(n), "file": f"//a.example/{n}/download"} for n in (1, 2, 3, 7)]
    (shelf / "recordings.json").write_text(json.dumps(raw))
    faults = Faults()
    with serve(shelf, key=KEY, faults=faults) as served:
        client = open_archive(served.url, KEY, lambda: None, retries=3, sleep=lambda _: None)
        with client:
            yield Site(shelf, served, faults, client, tmp_path / "collection")
        assert served.leaked == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_recording_is_fetched_once_byte_for_byte(site: Site, number: int) -> None:
    fetched = fetch(site.client, site.record(number), site.folder)
    path = recording_path(site.folder, fetched)
    assert path.read_bytes() == site.original(number)
    assert path == site.folder / "recordings" / NAMES[number - 1]
    assert fetched.sha256 == file_sha256(path)
    assert fetched.bytes == path.stat().st_size
    assert fetched.url == site.record(number).file_url
    assert fetch(site.client, site.record(number), site.folder) == fetched
    assert collected(site.folder) == {number: fetched}
    assert site.statuses == [200]
    assert site.left() == set()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("repeat", "grow")])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_fault_in_passing_harms_a_recording(site: Site, kind: str, number: int) -> None:
    site.faults.add(Fault(kind, retry_after="0", drip_s=0.1))
    fetched = fetch(site.client, site.record(number), site.folder)
    assert recording_path(site.folder, fetched).read_bytes() == site.original(number)
    assert len(site.faults.given) == 1
    assert failures(site.folder) == {}
    assert site.left() == set()


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("cut", [200, 206]),
        ("reset", [200, 206]),
        ("length-short", [200, 206]),
        ("length-long", [200, 416]),
    ],
)
def test_only_what_is_missing_is_asked_for(site: Site, kind: str, statuses: list[int]) -> None:
    site.faults.add(Fault(kind))
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == statuses


def test_another_process_goes_on_where_one_was_cut_off(site: Site) -> None:
    site.faults.add(Fault("cut"))
    with pytest.raises(ArchiveError, match=r"XC1: .*tried 1 times"):
        fetch(site.impatient(), site.record(1), site.folder)
    assert site.left() == {"XC1.part", "XC1.json"}
    assert not failures(site.folder)[1].permanent
    fetch(site.impatient(), site.record(1), site.folder)
    assert site.statuses == [200, 206]
    assert failures(site.folder) == {}
    assert site.left() == set()


def test_a_page_in_place_of_the_rest_costs_nothing(site: Site) -> None:
    site.faults.add(Fault("cut"), Fault("html"))
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == [200, 200, 206]


def test_a_recording_that_was_replaced_meanwhile_is_fetched_anew(site: Site) -> None:
    site.faults.add(Fault("cut"))
    with pytest.raises(ArchiveError):
        fetch(site.impatient(), site.record(3), site.folder)
    other = np.random.default_rng(1).normal(0, 0.1, SECONDS * RATE)
    sf.write(site.shelf / "audio" / "XC3.wav", other, RATE)
    fetched = fetch(site.impatient(), site.record(3), site.folder)
    assert site.statuses == [200, 200]
    assert recording_path(site.folder, fetched).read_bytes() == site.original(3)


@pytest.mark.parametrize(
    ("had", "origin", "statuses"),
    [
        (1.0, '"unsaid"', []),
        (0.5, "", [200]),
        (0.5, None, [200]),
        (0.5, '"of another file"', [200]),
    ],
    ids=["all of it", "no validator", "no origin", "another file"],
)
def test_what_a_killed_process_left_is_used_where_it_can_be(
    site: Site, had: float, origin: str | None, statuses: list[int]
) -> None:
    original, record = site.original(1), site.record(1)
    collection.set_up(site.folder)
    with held(site.folder, 1) as partial:
        partial.append(original[: int(had * len(original))])
        if origin is not None:
            partial.set_origin(Origin(record.file_url or "", origin, len(original)))
    fetched = fetch(site.client, record, site.folder)
    assert recording_path(site.folder, fetched).read_bytes() == original
    assert site.statuses == statuses


def test_a_partial_of_another_address_is_not_gone_on_with(site: Site) -> None:
    collection.set_up(site.folder)
    with held(site.folder, 1) as partial:
        partial.append(b"x" * len(site.original(1)))
        partial.set_origin(Origin("https://b.example", '"tag"', len(site.original(1))))
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == [200]


def test_a_recording_that_is_not_there_is_never_asked_for_again(site: Site) -> None:
    for _ in range(2):
        with pytest.raises(Unusable, match=r"XC9: .*9/download is not there") as why:
            fetch(site.client, site.record(9), site.folder)
        assert (why.value.id, why.value.permanent) == (9, True)
    assert site.statuses == [404]
    assert failures(site.folder)[9].permanent
    assert site.left() == set()


def test_a_restricted_recording_costs_no_request_until_it_is_given_away(site: Site) -> None:
    with pytest.raises(Unusable, match="does not give its file away") as why:
        fetch(site.client, replace(site.record(1), file_url=None), site.folder)
    assert not why.value.permanent
    assert site.statuses == []
    fetch(site.client, site.record(1), site.folder)
    assert failures(site.folder) == {}


@pytest.mark.parametrize("what", ["no sound", "cut flac", "cut mp3"])
def test_what_can_not_be_used_is_doubted_once_and_given_up_in_the_second_run(
    site: Site, what: str
) -> None:
    source = {"no sound": b"noise" * 999, "cut flac": site.original(2), "cut mp3": site.original(1)}
    content = source[what][: 2 * len(source[what]) // 5]
    (site.shelf / "audio" / "XC7.mp3").write_bytes(content)
    for permanent in (False, True):
        with pytest.raises(Unusable) as why:
            fetch(site.client, site.record(7), site.folder)
        assert why.value.permanent is permanent
        assert site.statuses == [200, 416] * (1 + permanent)
        assert not list((site.folder / "recordings").iterdir())
    assert failures(site.folder)[7].reason == why.value.reason
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    assert len(site.statuses) == 4


def test_a_setback_in_between_does_not_make_unusable_bytes_new(site: Site) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"noise" * 999)
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    site.faults.add(Fault("503"))
    with pytest.raises(ArchiveError):
        fetch(site.impatient(), site.record(7), site.folder)
    with pytest.raises(Unusable) as why:
        fetch(site.client, site.record(7), site.folder)
    assert why.value.permanent


def test_a_recording_that_was_mended_after_a_first_run_is_fetched(site: Site) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"noise" * 999)
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    shutil.copy(site.shelf / "audio" / "XC1.mp3", site.shelf / "audio" / "XC7.mp3")
    fetch(site.client, site.record(7), site.folder)
    assert failures(site.folder) == {}


def test_a_drip_that_takes_too_long_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdcore.collect.receive.SLOWEST", 1e9)
    site.faults.add(Fault("drip", drip_s=20.0))
    with pytest.raises(ArchiveError, match="not done within"):
        fetch(site.impatient(), site.record(1), site.folder, patience_s=0.2)
    assert 0 < (site.folder / "partial" / "XC1.part").stat().st_size < len(site.original(1))


def test_an_unknown_key_says_nothing_of_the_recording(site: Site) -> None:
    api = f"{site.served.url}/api/3/recordings?query=gen:x"
    records = [replace(site.record(1), file_url=api), site.record(2)]
    with pytest.raises(Refused, match="XENO_CANTO_KEY"):
        fetch_all(replace(site.client, key="wrong"), records, site.folder)
    assert site.statuses == [401]
    assert failures(site.folder) == {}


def test_no_request_is_made_where_there_is_no_room(site: Site) -> None:
    records = [site.record(1), site.record(2)]
    with pytest.raises(OSError, match="make room and run again") as error:
        fetch_all(site.client, records, site.folder, keep_free_bytes=1 << 60)
    assert error.value.errno == errno.ENOSPC
    assert site.statuses == []
    assert failures(site.folder) == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_stops_all_and_keeps_the_part(
    site: Site, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    append = Partial.append

    def full(partial: Partial, piece: bytes) -> None:
        append(partial, piece[:999])
        raise OSError(number, "no")

    monkeypatch.setattr(Partial, "append", full)
    with pytest.raises(OSError, match="make room") as error:
        fetch_all(site.client, [site.record(1), site.record(2)], site.folder)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.setattr(Partial, "append", append)
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == [200, 206]


class Killed(BaseException):
    """In place of a kill: nothing catches it, and nothing is written after it."""


def killed_in(step: Callable[..., object], call: int, after: bool) -> Callable[..., object]:
    """The step, whose process is killed before or after its call number `call`."""
    calls = 0

    def dies(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls < call:
            return step(*arguments)
        if after:
            step(*arguments)
        raise Killed

    return dies


STEPS = (
    (Partial, "append"),
    (Partial, "set_origin"),
    (Partial, "start_anew"),
    (Partial, "doubt"),
    (Partial, "remove"),
    (download, "_check"),
    (download, "sync"),
    (Path, "rename"),
    (collection, "_write"),
)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("place", "step"), STEPS, ids=[step for _, step in STEPS])
def test_killed_before_or_after_any_step_it_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, place: object, step: str, after: bool
) -> None:
    site.faults.add(Fault("length-short"))
    killed = 0
    for call in range(1, 30):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, killed_in(getattr(place, step), call, after))
            try:
                fetch(site.client, site.record(1), site.folder)
            except Killed:
                killed += 1
            else:
                break
        for path in (site.folder / "recordings").iterdir():
            assert path.read_bytes() == site.original(1)
            published = len(site.statuses)
            fetch(site.client, site.record(1), site.folder)
            assert len(site.statuses) == published
    assert killed
    fetched = fetch(site.client, site.record(1), site.folder)
    assert recording_path(site.folder, fetched).read_bytes() == site.original(1)
    assert len(collected(site.folder)) == 1


@pytest.mark.parametrize("note", ["missing", "torn"])
def test_a_recording_without_a_note_is_taken_in(site: Site, note: str) -> None:
    fetched = fetch(site.client, site.record(1), site.folder)
    path = site.folder / "fetched" / "XC1.json"
    path.unlink() if note == "missing" else path.write_text('{"id": 1')
    again = fetch(site.client, site.record(1), site.folder)
    assert replace(again, when=fetched.when) == fetched
    assert site.statuses == [200]
    assert site.left() == set()


@pytest.mark.parametrize("note", [True, False])
def test_a_damaged_recording_is_fetched_again(site: Site, note: bool) -> None:
    fetched = fetch(site.client, site.record(2), site.folder)
    recording_path(site.folder, fetched).write_bytes(site.original(2)[:1000])
    if not note:
        (site.folder / "fetched" / "XC2.json").unlink()
    again = fetch(site.client, site.record(2), site.folder)
    assert recording_path(site.folder, again).read_bytes() == site.original(2)
    assert site.statuses == [200, 200]


def test_two_at_the_same_recording_fetch_it_once(site: Site) -> None:
    site.faults.add(Fault("drip", drip_s=0.3))
    got: list[object] = []

    def one() -> None:
        with open_archive(site.served.url, KEY, lambda: None) as client:
            got.append(fetch(client, site.record(1), site.folder))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [find(site.folder, 1)] * 4
    assert site.statuses == [200]


def test_a_list_is_fetched_and_what_came_of_it_is_told(site: Site) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"noise" * 999)
    there = fetch(site.client, site.record(2), site.folder)
    records = [site.record(n) for n in (1, 2, 9, 7, 1, 3)]
    said: list[tuple[int, int, str]] = []
    haul = fetch_all(site.client, records, site.folder, lambda *what: said.append(what))
    assert said == [(n, 5, f"XC{i}") for n, i in enumerate((1, 2, 9, 7, 3), 1)]
    assert [f.id for f in haul.fetched] == [1, 3]
    assert haul.there == (there,)
    assert [(f.id, f.permanent) for f in haul.unusable] == [(9, True), (7, False)]
    assert haul.facts == {
        "fetched": 2,
        "there": 1,
        "unusable": {"XC9": haul.unusable[0].reason, "XC7": haul.unusable[1].reason},
        "bytes": len(site.original(1)) + len(site.original(3)),
    }
    assert set(failures(site.folder)) == {7, 9}


def test_one_that_fails_in_passing_stops_no_other_and_is_told_at_the_end(site: Site) -> None:
    records = [site.record(n) for n in (1, 2, 3)]
    site.faults.add(*[Fault("503", "/1/*")] * 4, *[Fault("html", "/2/*")] * 4)
    with pytest.raises(
        ArchiveError, match=r"^2 of 3 recordings could not be fetched; the first: XC1: .*503"
    ):
        fetch_all(site.client, records, site.folder)
    assert list(collected(site.folder)) == [3]
    assert not failures(site.folder)[1].permanent
    assert "a page (text/html)" in failures(site.folder)[2].reason
    asked = len(site.statuses)
    assert len(fetch_all(site.client, records, site.folder).fetched) == 2
    assert len(site.statuses) == asked + 2


def test_an_archive_that_is_down_is_left_alone(site: Site) -> None:
    records = [site.record(n) for n in (11, 12, 13, 14, 1)]
    site.faults.add(*[Fault("503")] * 99)
    with pytest.raises(ArchiveError, match=r"^3 of 5 recordings could not be fetched; the first"):
        fetch_all(site.impatient(), records, site.folder)
    assert len(site.statuses) == 3


def test_recordings_that_always_fail_keep_nobody_from_the_others(site: Site) -> None:
    records = [site.record(n) for n in (11, 12, 13, 1, 2)]
    site.faults.add(*[Fault("503", f"/{n}/*") for n in (11, 12, 13)] * 9)
    for _ in range(2):
        with pytest.raises(ArchiveError, match=r"^3 of 5 recordings could not be fetched"):
            fetch_all(site.impatient(), records, site.folder)
    assert list(collected(site.folder)) == [1, 2]


def test_what_another_is_at_comes_last(site: Site) -> None:
    collection.set_up(site.folder)
    said: list[str] = []
    other = held(site.folder, 1)

    def progress(done: int, total: int, text: str) -> None:
        said.append(text)
        if done == 2:
            other.__exit__(None, None, None)

    other.__enter__()
    fetch_all(site.client, [site.record(n) for n in (1, 2, 3)], site.folder, progress)
    assert said == ["XC2", "XC3", "XC1"]


def test_the_key_is_in_nothing_that_stays_or_is_said(site: Site) -> None:
    said: list[str] = []
    site.faults.add(*[Fault("reset", "/1/*")] * 4, *[Fault("html", "/2/*")] * 4)
    for number in (1, 2, 3, 9):
        try:
            fetch(site.client, site.record(number), site.folder)
        except (ArchiveError, Unusable):
            said.append(traceback.format_exc())  # with all that is chained to it
    assert len(said) == 3
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    assert files
    said += [str(path) + path.read_bytes().decode("latin-1") for path in files]
    assert not any(KEY in text for text in said)


def test_the_address_that_is_noted_has_no_query(site: Site) -> None:
    record = replace(site.record(1), file_url=f"{site.record(1).file_url}?token=secret")
    assert fetch(site.client, record, site.folder).url == site.record(1).file_url


def test_unusable_travels_between_processes() -> None:
    why = pickle.loads(pickle.dumps(Unusable(5, "cut", False, "5a")))
    assert (str(why), why.id, why.reason, why.permanent, why.sha256) == (
        "XC5: cut", 5, "cut", False, "5a",
    )  # fmt: skip
