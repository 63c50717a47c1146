"""Recordings that can't be had or used: doubted first, and noted with the reason."""

import pickle
import shutil
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from birdcore.archives.client import ArchiveError, Refused
from birdcore.archives.download import Unusable, fetch, fetch_all
from birdcore.archives.folder import Failed, failures, note_failed
from tests.support.archive import Fault


def test_a_recording_that_is_not_there_is_asked_for_until_it_is_so_a_day_later(site: Any) -> None:
    """A night in which an archive says so of everything must not lose everything."""

    def refused() -> bool:
        with pytest.raises(Unusable, match=r"XC9: .*9/download is not there") as why:
            fetch(site.client, site.record(9), site.folder)
        assert why.value.failed.id == 9
        assert why.value.failed.permanent == failures(site.folder)[9].permanent
        return why.value.failed.permanent

    assert [refused(), refused()] == [False, False]
    first = failures(site.folder)[9]
    yesterday = datetime.fromisoformat(first.when) - timedelta(hours=21)
    note_failed(site.folder, replace(first, when=yesterday.isoformat()))
    assert [refused(), refused()] == [True, True]
    assert site.statuses == [404] * 3
    assert site.left() == set()


def test_a_recording_that_comes_back_is_fetched(site: Any) -> None:
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    (site.shelf / "audio" / "XC7.mp3").write_bytes(site.original(1))
    fetch(site.client, site.record(7), site.folder)
    assert failures(site.folder) == {}


def test_a_page_that_says_it_is_sound_is_a_setback(site: Any) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"\n <!DOCTYPE html><html>" + b"x" * 999)
    for _ in range(2):
        with pytest.raises(ArchiveError, match="a page came in place of the recording"):
            fetch(site.impatient(), site.record(7), site.folder)
    assert not failures(site.folder)[7].permanent


def test_a_restricted_recording_costs_no_request_until_it_is_given_away(site: Any) -> None:
    with pytest.raises(Unusable, match="does not give its file away") as why:
        fetch(site.client, replace(site.record(1), file_url=None), site.folder)
    assert not why.value.failed.permanent
    assert site.statuses == []
    fetch(site.client, site.record(1), site.folder)
    assert failures(site.folder) == {}


@pytest.mark.parametrize("what", ["no sound", "cut flac", "cut mp3"])
def test_what_can_not_be_used_is_doubted_once_and_given_up_in_the_second_run(
    site: Any, what: str
) -> None:
    source = {"no sound": b"noise" * 999, "cut flac": site.original(2), "cut mp3": site.original(1)}
    content = source[what][: 2 * len(source[what]) // 5]
    (site.shelf / "audio" / "XC7.mp3").write_bytes(content)
    for permanent in (False, True):
        with pytest.raises(Unusable) as why:
            fetch(site.client, site.record(7), site.folder)
        assert why.value.failed.permanent is permanent
        assert site.statuses == [200, 416] * (1 + permanent)
        assert not list((site.folder / "recordings").iterdir())
    assert failures(site.folder)[7].reason == why.value.failed.reason
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    assert len(site.statuses) == 4


def test_a_setback_in_between_does_not_make_unusable_bytes_new(site: Any) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"noise" * 999)
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    site.faults.add(Fault("503"))
    with pytest.raises(ArchiveError):
        fetch(site.impatient(), site.record(7), site.folder)
    with pytest.raises(Unusable) as why:
        fetch(site.client, site.record(7), site.folder)
    assert why.value.failed.permanent


def test_a_recording_that_was_mended_after_a_first_run_is_fetched(site: Any) -> None:
    (site.shelf / "audio" / "XC7.mp3").write_bytes(b"noise" * 999)
    with pytest.raises(Unusable):
        fetch(site.client, site.record(7), site.folder)
    shutil.copy(site.shelf / "audio" / "XC1.mp3", site.shelf / "audio" / "XC7.mp3")
    fetch(site.client, site.record(7), site.folder)
    assert failures(site.folder) == {}


def test_an_unknown_key_says_nothing_of_the_recording(site: Any) -> None:
    api = f"{site.served.url}/api/3/recordings?query=gen:x"
    records = [replace(site.record(1), file_url=api), site.record(2)]
    with pytest.raises(Refused, match="XENO_CANTO_KEY"):
        fetch_all(replace(site.client, key="wrong"), records, site.folder)
    assert site.statuses == [401]
    assert failures(site.folder) == {}


@pytest.mark.parametrize("status", [401, 403, 407, 418, 451])
def test_a_file_that_asks_for_a_login_takes_no_other_with_it(site: Any, status: int) -> None:
    """Whoever has the address of one file can answer as they like: no key was shown to them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{other.server_port}/1/download"
            records = [replace(site.record(1), file_url=url), site.record(2)]
            haul = fetch_all(site.client, records, site.folder)
        finally:
            other.shutdown()
            thread.join()
    assert [fetched.id for fetched in haul.fetched] == [2]
    assert f"refused with status {status}" in failures(site.folder)[1].reason


def test_unusable_travels_between_processes() -> None:
    failed = Failed(5, "cut", False, "2026-11-29T06:00:00+00:00", "5a")
    why = pickle.loads(pickle.dumps(Unusable(failed, "XC5")))
    assert (str(why), why.failed) == ("XC5: cut", failed)
