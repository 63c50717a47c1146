"""Answers that are not what was asked for: what a partial keeps of them."""

import errno
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from urllib3 import HTTPResponse

from birdcore.archives import receive
from birdcore.archives.client import ArchiveError, Refused
from birdcore.archives.folder import set_up
from birdcore.archives.partial import Origin, Partial, held
from birdcore.archives.quota import DiskQuota

URL = "https://a.example/1/download"
FILE = bytes(range(256)) * 4


@pytest.fixture
def partial(tmp_path: Path) -> Iterator[Partial]:
    """A partial that holds the first 500 bytes of FILE."""
    set_up(tmp_path)
    with held(tmp_path, 1) as partial:
        partial.append(FILE[:500])
        partial.set_origin(Origin(URL, '"tag"', 1024))
        yield partial


def answer(status: int, body: bytes = b"", **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): text for name, text in headers.items()})
    response.raw = HTTPResponse(BytesIO(body), status=status, preload_content=False)
    return response


def take(response: requests.Response, partial: Partial, keep_free_bytes: int = 0) -> None:
    room = DiskQuota(partial.path.parent, keep_free_bytes)
    receive.download(response, URL, partial, room, patience_s=10.0)


def content(partial: Partial) -> bytes:
    return partial.path.read_bytes()


def test_the_rest_is_put_behind(partial: Partial) -> None:
    rest = answer(206, FILE[500:], Content_Range="bytes 500-1023/1024", ETag='"tag"')
    take(rest, partial)
    assert content(partial) == FILE
    assert partial.origin() == Origin(URL, '"tag"', 1024)


def test_the_length_of_the_range_is_believed_rather_than_that_of_the_body(partial: Partial) -> None:
    headers = {"Content_Length": "100", "Content_Range": "bytes 500-1023/1024", "ETag": '"tag"'}
    with pytest.raises(ArchiveError, match="600 of 1024 bytes came"):
        take(answer(206, FILE[500:600], **headers), partial)
    assert content(partial) == FILE[:600]


@pytest.mark.parametrize(
    "response",
    [
        answer(206, FILE[400:924], Content_Range="bytes 400-923/1024"),
        answer(206, FILE[500:]),
        answer(206, FILE[500:] + b"more", Content_Range="bytes 500-1023/1024"),
        answer(416, Content_Range="bytes */400"),
        answer(416),
    ],
    ids=["another part", "no range", "too much", "shorter file", "416"],
)
def test_another_part_than_the_one_asked_for_starts_it_anew(
    partial: Partial, response: requests.Response
) -> None:
    with pytest.raises(ArchiveError):
        take(response, partial)
    assert content(partial) == b""
    assert partial.origin() is None


def test_a_416_that_names_the_length_reached_says_that_it_is_whole(partial: Partial) -> None:
    take(answer(416, Content_Range="bytes */500"), partial)
    assert content(partial) == FILE[:500]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (answer(200, b"<html>", Content_Type="text/html; charset=utf-8"), "a page"),
        (answer(206, b"{}", Content_Type="application/json"), "a page"),
        (answer(206, b"<p>", Content_Type="application/xhtml+xml"), "a page"),
        (answer(200, FILE, Content_Encoding="gzip"), "packed"),
        (answer(200, b"OK", Content_Length="2"), "2 bytes came in place"),
    ],
)
def test_what_is_no_recording_costs_the_partial_nothing(
    partial: Partial, response: requests.Response, why: str
) -> None:
    with pytest.raises(ArchiveError, match=why):
        take(response, partial)
    assert content(partial) == FILE[:500]
    assert partial.origin() == Origin(URL, '"tag"', 1024)


def test_a_whole_answer_replaces_what_was_there(partial: Partial) -> None:
    other = FILE[::-1]
    take(answer(200, other, Content_Length="1024", ETag='"other"'), partial)
    assert content(partial) == other
    assert partial.origin() == Origin(URL, '"other"', 1024)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": 'W/"weak"', "Last_Modified": "Mon, 01 Jun 2015"}, "Mon, 01 Jun 2015"),
        ({"ETag": 'W/"weak"'}, ""),
        ({}, ""),
    ],
)
def test_a_weak_tag_does_not_tell_a_file_again(
    partial: Partial, headers: dict[str, str], validator: str
) -> None:
    take(answer(200, FILE, **headers), partial)
    assert partial.origin() == Origin(URL, validator, None)


@pytest.mark.parametrize("length", [{"Content_Length": "1024"}, {}])
def test_more_than_any_recording_is_refused(
    partial: Partial, length: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "LARGEST_BYTES", 1000)
    with pytest.raises(Refused, match="than a recording has"):
        take(answer(200, FILE, **length), partial)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The disk's free bytes as they are found, one look after the other; the last stays so."""
    free: list[int] = []
    used = shutil.disk_usage(Path())

    def look(path: object) -> object:
        return used._replace(free=free.pop(0) if len(free) > 1 else free[0])

    monkeypatch.setattr(shutil, "disk_usage", look)
    return free


def test_no_byte_is_written_where_there_is_no_room_for_all(
    partial: Partial, disk: list[int]
) -> None:
    disk[:] = [200_000]
    with pytest.raises(OSError, match="make room and run again") as error:
        take(answer(200, FILE * 200, Content_Length="204800"), partial, keep_free_bytes=100_000)
    assert error.value.errno == errno.ENOSPC
    assert content(partial) == b""


def test_a_disk_that_others_fill_meanwhile_ends_it(partial: Partial, disk: list[int]) -> None:
    disk[:] = [10**6, 10**6, 100_000]
    with pytest.raises(OSError, match="make room and run again"):
        take(answer(200, FILE * 200, Content_Length="204800"), partial, keep_free_bytes=100_000)
    assert 0 < partial.size < 204_800
    assert content(partial) == (FILE * 200)[: partial.size]
