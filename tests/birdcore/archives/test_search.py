import json
import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import pytest

from birdcore.archives.client import Archive, open_archive
from birdcore.archives.errors import ArchiveError, Refused
from birdcore.archives.record import Record
from birdcore.archives.record_table import read_notes
from birdcore.archives.search import fresh_search, queries_of, search
from birdcore.config import XenoCanto

KEY = "k3yk3yk3y"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Asked: TypeAlias = dict[str, str]
Answer: TypeAlias = Callable[[Asked], tuple[int, object]]


@dataclass
class Site:
    url: str
    answer: Answer
    asked: list[Asked] = field(default_factory=list, repr=False)


@contextmanager
def serve(answer: Answer) -> Iterator[Site]:
    """A server that answers a query with a status and either JSON or bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            site.asked.append({k: v[0] for k, v in parse_qs(parts.query).items()})
            status, body = site.answer(site.asked[-1])
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status if parts.path == "/api/3/recordings" else 404)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}", answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def asking(answer: Answer, retries: int = 1) -> Iterator[tuple[Archive, Site]]:
    with (
        serve(answer) as site,
        open_archive(site.url, KEY, lambda: None, retries=retries, sleep=lambda _: None) as archive,
    ):
        yield archive, site


def always(status: int, body: object) -> Answer:
    return lambda _: (status, body)


def page(
    ids: list[object], pages: object = 1, number: int = 1, count: int | None = None
) -> dict[str, Any]:
    rows = [{"id": i, "gen": "Turdus", "sp": "merula"} for i in ids]
    counted = str(len(ids) if count is None else count)
    return {"numRecordings": counted, "numPages": pages, "page": number, "recordings": rows}


def numbers(records: list[Record]) -> list[int]:
    return [record.id for record in records]


def test_there_is_a_query_for_each_combination() -> None:
    species, countries = ("Turdus merula", "Parus major"), ("Peru", "Côte  d'Ivoire")
    assert queries_of(XenoCanto(species=species, countries=countries)) == [
        'sp:"Turdus merula" cnt:Peru',
        """sp:"Turdus merula" cnt:"Côte d'Ivoire\"""",
        'sp:"Parus major" cnt:Peru',
        """sp:"Parus major" cnt:"Côte d'Ivoire\"""",
    ]
    box = (-12.5, -70.0, -10.0, -69.123456)
    assert queries_of(
        XenoCanto(boxes=(box,), areas=("europe",), queries=('grp:birds  q:">C"',))
    ) == ['box:-12.5,-70,-10,-69.123456 area:europe grp:birds q:">C"']
    assert queries_of(XenoCanto(countries=("Peru", "Peru"))) == ["cnt:Peru"]


def test_all_pages_are_read_and_each_recording_is_there_once() -> None:
    listing: dict[str, list[object]] = {"1": [5, "4"], "2": ["4", 3], "3": [2, "XC5", 1]}
    said: list[tuple[int, int, str]] = []

    def answer(asked: Asked) -> tuple[int, object]:
        return 200, page(listing[asked["page"]], 3)

    with asking(answer) as (archive, site):
        found = search(archive, "gen:Turdus", lambda *line: said.append(line), per_page=50)
    assert numbers(found) == [5, 4, 3, 2, 1]
    assert site.asked == [
        {"query": "gen:Turdus", "per_page": "50", "page": p, "key": KEY} for p in "123"
    ]
    assert said == [(1, 3, "2 recordings"), (2, 3, "3 recordings"), (3, 3, "5 recordings")]


def test_the_real_page_is_read(shared_data: Path) -> None:
    text = (shared_data / "xeno-canto-api" / "v3_turdus_merula_page1.json").read_bytes()
    rest: dict[str, list[object]] = {"recordings": []}

    def answer(asked: Asked) -> tuple[int, object]:
        return 200, text if asked["page"] == "1" else {**page([], 2), **rest}

    with asking(answer) as (archive, site):
        found = search(archive, 'sp:"Turdus merula"')
    assert len(found) == 100
    assert len(site.asked) == 2
    assert {r.scientific_name for r in found} == {"Turdus merula"}


@pytest.mark.parametrize(
    "after",
    [
        (200, page([], 5)),
        (200, page([], 0)),
        (400, {"error": {"code": "page", "message": "out of range"}}),
        (404, b"<html>"),
    ],
)
def test_a_listing_may_shrink_while_it_is_read(after: tuple[int, object]) -> None:
    def answer(asked: Asked) -> tuple[int, object]:
        return (200, page([1], 3)) if asked["page"] == "1" else after

    with asking(answer) as (archive, site):
        assert numbers(search(archive, "q:A")) == [1]
        assert len(site.asked) == 2


LISTED: list[object] = [*range(1, 101)]


@pytest.mark.parametrize(
    "second",
    [
        (200, page([], 2, count=200)),
        (200, page([], 1, count=200)),
        (200, page([101, 102, 103], 2, count=200)),
        (404, b"<html>"),
    ],
)
def test_a_listing_that_lacks_much_is_none(second: tuple[int, object], tmp_path: Path) -> None:
    def answer(asked: Asked) -> tuple[int, object]:
        return (200, page(LISTED, 2, count=200)) if asked["page"] == "1" else second

    with asking(answer) as (archive, _):
        with pytest.raises(ArchiveError, match=r"listed 10[03] of 200 records for 'q:A'"):
            fresh_search(archive, "q:A", tmp_path, 3600, NOW)
        assert not list(tmp_path.iterdir())


def test_a_listing_that_shifts_by_a_few_is_taken() -> None:
    def answer(asked: Asked) -> tuple[int, object]:
        rows = LISTED if asked["page"] == "1" else [*LISTED[-5:], *range(101, 196)]
        return 200, page(rows, 2, count=200)

    with asking(answer) as (archive, _):
        assert len(search(archive, "q:A")) == 195


def test_a_listing_may_grow_while_it_is_read() -> None:
    pages = {"1": 2, "2": 3, "3": 3}
    with asking(lambda asked: (200, page([asked["page"]], pages[asked["page"]]))) as (archive, _):
        assert numbers(search(archive, "q:A")) == [1, 2, 3]


def test_nothing_found_is_no_error() -> None:
    with asking(always(200, page([], 0))) as (archive, site):
        assert search(archive, "q:A") == []
        assert len(site.asked) == 1


def test_unusable_records_are_counted_and_left_out() -> None:
    said: list[str] = []
    with asking(always(200, page([1, None, "x", 2]))) as (archive, _):
        assert numbers(search(archive, "q:A", lambda *line: said.append(line[2]))) == [1, 2]
    assert said == ["2 recordings, 2 unusable"]
    no_ids = asking(always(200, page([None, "x"])))
    none_usable = pytest.raises(ArchiveError, match="none of 2 records has a usable id")
    with no_ids as (archive, _), none_usable:
        search(archive, "q:A")


NO_ANSWERS: dict[str, object] = {
    "a web page": b"<!DOCTYPE html><html>sorry</html>",
    "what is no JSON": b'{"numPages": 1, "recor',
    "deep": b"[" * 100_000,
    "half a letter": b'{"a": "\xc3"}',
    "list": [1],
    "no records": {"numPages": 1},
    "records are text": {"numPages": 1, "recordings": ["1"]},
    "no pages": {"recordings": [{"id": 1}]},
    "odd pages": page([1], "many"),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_is_asked_for_again(kind: str) -> None:
    bad, good = NO_ANSWERS[kind], page([1])
    with asking(always(200, bad)) as (archive, site):
        with pytest.raises(ArchiveError, match=r"answers with.*; asked 2 times"):
            search(archive, "q:A")
        assert len(site.asked) == 2
        site.answer = lambda _: (200, bad if len(site.asked) == 3 else good)
        assert numbers(search(archive, "q:A")) == [1]


def test_both_forms_of_an_error_are_understood_whatever_the_status() -> None:
    flat = {"error": "client_error", "message": "Unknown tag"}
    nested = {"error": {"code": "x", "message": "Unknown tag"}}
    for status in (200, 400):
        for body in (flat, nested):
            with asking(always(status, body)) as (archive, site):
                with pytest.raises(Refused, match=r"'q:A': Unknown tag$"):
                    search(archive, "q:A")
                assert len(site.asked) == 1


def test_the_real_answer_to_a_wrong_key_names_the_setting(shared_data: Path) -> None:
    body = (shared_data / "xeno-canto-api" / "v3_xenocanto-rs_1.json").read_bytes()
    with asking(always(401, body)) as (archive, site):
        with pytest.raises(Refused, match=r"set XENO_CANTO_KEY .*: Missing or invalid 'key'"):
            search(archive, "q:A")
        with pytest.raises(Refused, match="can't be searched without a key: set XENO_CANTO_KEY"):
            search(replace(archive, key=""), "q:A")
        assert len(site.asked) == 1


ECHO = {"error": {"message": f"no {KEY}"}}
FAILURES: dict[str, Answer] = {
    **{str(status): always(status, ECHO) for status in (200, 400, 401, 404, 429, 500)},
    "no answer": always(200, f"<html>{KEY}".encode()),
    "no ids": always(200, page([KEY])),
    "second page": lambda asked: (200, page([1], 2)) if asked["page"] == "1" else (401, ECHO),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_of_a_search_shows_the_key(
    failure: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[object] = []
    with asking(FAILURES[failure]) as (archive, site):
        with pytest.raises((ArchiveError, Refused)) as caught:
            fresh_search(archive, "q:A", tmp_path, 0, NOW, lambda *line: said.append(line))
        assert site.asked[0]["key"] == KEY
    error: BaseException | None = caught.value
    while error is not None:
        shown = [str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))]
        shown += traceback.format_exception(error)
        assert KEY not in "".join(shown)
        error = error.__cause__ or error.__context__
    assert KEY not in caplog.text + repr(said)
    assert list(tmp_path.iterdir()) == []


def test_a_search_of_the_day_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "searches"
    with asking(always(200, page([2, 1]))) as (archive, site):
        first = fresh_search(archive, "q:A", folder, 3600, NOW)
        (path,) = folder.iterdir()
        again = fresh_search(archive, "q:A", folder, 3600, NOW + timedelta(seconds=3599))
        assert numbers(first) == [2, 1]
        assert again == first
        assert len(site.asked) == 1
        assert read_notes(path) == {
            "site": site.url,
            "query": "q:A",
            "asked": "2026-03-01T12:00:00+00:00",
        }
        assert KEY.encode() not in path.read_bytes()
        fresh_search(archive, "q:B", folder, 3600, NOW)
        assert len(site.asked) == 2
        assert len(list(folder.iterdir())) == 2
        fresh_search(archive, "q:A", folder, 3600, NOW + timedelta(seconds=3600))
        fresh_search(archive, "q:A", folder, 3600, NOW)  # asked in what is the future to it
        path.write_bytes(path.read_bytes()[:-10])
        fresh_search(archive, "q:A", folder, 3600, NOW)
        assert len(site.asked) == 5
        assert fresh_search(archive, "q:A", folder, 3600, NOW) == first
        assert len(site.asked) == 5


def test_a_search_without_a_result_is_used_again_too(tmp_path: Path) -> None:
    with asking(always(200, page([], 0))) as (archive, site):
        assert fresh_search(archive, "q:A", tmp_path, 60) == []
        assert fresh_search(archive, "q:A", tmp_path, 60) == []
        assert len(site.asked) == 1


def test_a_search_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    with asking(always(200, page([1]))) as (archive, site):
        fresh_search(archive, "q:A", tmp_path, 60, NOW)
        site.answer = always(500, {})
        with pytest.raises(ArchiveError):
            fresh_search(archive, "q:A", tmp_path, 60, NOW + timedelta(seconds=61))
        assert numbers(fresh_search(archive, "q:A", tmp_path, 60, NOW)) == [1]


@pytest.mark.parametrize("pages", [10**8, "99999999"])
def test_pages_end_when_nothing_new_comes(pages: object) -> None:
    with asking(always(200, page([1, 2], pages))) as (archive, site):
        assert numbers(search(archive, "q:A")) == [1, 2]
    assert len(site.asked) == 4


def test_pages_end_though_something_new_comes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdcore.archives.search.MOST_PAGES", 5)
    answer = lambda asked: (200, page([int(asked["page"])], 10**8, count=5))  # noqa: E731
    with asking(answer) as (archive, site):
        assert numbers(search(archive, "q:A")) == [1, 2, 3, 4, 5]
    assert len(site.asked) == 5
    monkeypatch.setattr("birdcore.archives.search.MOST_RECORDS", 3)
    with asking(answer) as (archive, _), pytest.raises(ArchiveError, match="more than 3 rec"):
        search(archive, "q:A")


def test_pages_of_unusable_records_end_too() -> None:
    def answer(asked: Asked) -> tuple[int, object]:
        return 200, page([1] if asked["page"] == "1" else [None] * 5, 10**8, count=1)

    with asking(answer) as (archive, site):
        assert numbers(search(archive, "q:A")) == [1]
    assert len(site.asked) == 4


def test_a_page_of_unusable_records_does_not_hide_those_behind_it() -> None:
    rows = {"1": [1, 2], "2": ["x", None], "3": [3]}
    answer = lambda asked: (200, page(rows[asked["page"]], 3, count=3))  # noqa: E731
    with asking(answer) as (archive, _):
        assert numbers(search(archive, "q:A")) == [1, 2, 3]


@pytest.mark.parametrize("count", [-5, "-1", None, [], "9" * 99, 1e300, True, "\u0661"])
def test_an_absurd_number_of_records_is_not_said(count: object) -> None:
    answer = page([1]) | {"numRecordings": count}
    with asking(always(200, answer)) as (archive, _):
        assert numbers(search(archive, "q:A")) == [1]


HOSTILE_RECORDS: dict[str, bytes] = {
    "deep": b'{"id": 9, "sono": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep tables": b'{"id": 9, "a": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "deep id": b'{"id": ' + b"[" * 900 + b"]" * 900 + b"}",
    "brackets in text": b'{"id": 9, "rmk": "\\"[[[{{{", "x": ' + b"[" * 9999 + b"]" * 9999 + b"}",
    "long number": b'{"id": 9, "lat": ' + b"9" * 100_000 + b"}",
    "long id": b'{"id": ' + b"9" * 100_000 + b"}",
    "beyond floats": b'{"id": 9, "lat": 1e999999, "lon": NaN, "smp": -Infinity}',
    "no table": b"[]",
    "text": b'"x"',
    "half a character": b'{"id": 9, "rec": "\\ud83d", "lic": "\\udc00"}',
}


@pytest.mark.parametrize("kind", HOSTILE_RECORDS)
def test_a_hostile_record_takes_no_other_with_it(kind: str, tmp_path: Path) -> None:
    body = (
        b'{"numRecordings": "3", "numPages": 1, "recordings": [{"id": 1, "rmk": "]}"}, %s,'
        b' {"id": 2, "rec": "\\"["}]}' % HOSTILE_RECORDS[kind]
    )
    with asking(always(200, body)) as (archive, site):
        found = fresh_search(archive, "q:A", tmp_path, 3600, NOW)
        assert {1, 2} <= set(numbers(found)) <= {1, 2, 9}
        assert found[-1].recordist == '"['
        assert fresh_search(archive, "q:A", tmp_path, 3600, NOW) == found
        assert len(site.asked) == 1
