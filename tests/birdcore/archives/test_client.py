import logging
import pickle
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest

from birdcore import __version__
from birdcore.archives.client import Archive, ArchiveError, Refused, chunks, get, open_archive

KEY = "k3y/with+odd=&letters"
API = "/api/3/recordings"
Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A server that gives its answers one after the other, the last one for ever."""

    url: str
    answers: list[Answer]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list, repr=False)

    def queries(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(path).query) for path, _ in self.asked]


@contextmanager
def serve(*answers: Answer) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            site.asked.append((self.path, dict(self.headers)))
            answer = site.answers[0] if len(site.answers) == 1 else site.answers.pop(0)
            answer(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    site = Site(f"http://127.0.0.1:{server.server_port}", list(answers))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(status: int, body: bytes | str = b"{}", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else body.encode()

    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(content)

    return answer


def cuts(body: bytes = b"abc", promised: int = 100) -> Answer:
    return says(200, body, Content_Length=str(promised))


def resets(to: BaseHTTPRequestHandler) -> None:
    linger = struct.pack("ii", 1, 0)
    to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    to.connection.close()


def hangs(to: BaseHTTPRequestHandler) -> None:
    to.connection.recv(1)  # until the client gives up


def drips(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.send_header("Content-Length", "1000")
    to.end_headers()
    try:
        for _ in range(1000):
            to.wfile.write(b"x")
            time.sleep(0.01)
    except OSError:
        pass


def writes(content: bytes) -> Answer:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(content)

    return answer


def redirects(target: str, status: int = 302) -> Answer:
    return says(status, b"", Location=target)


@dataclass
class Slept:
    seconds: list[float] = field(default_factory=list)
    waits: int = 0

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def wait(self) -> None:
        self.waits += 1


@contextmanager
def asking(site: str, slept: Slept | None = None, **limits: Any) -> Iterator[Archive]:
    slept = slept or Slept()
    with open_archive(site, KEY, slept.wait, sleep=slept.sleep) as archive:
        yield replace(archive, **limits)


def search(archive: Archive, **options: Any) -> bytes:
    return get(archive, f"{archive.site}{API}", {"query": "gen:Turdus"}, **options).content


def all_that_shows(error: BaseException) -> str:
    """Everything that a log, a cache or a crash report may take from an exception."""
    shown = [str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))]
    shown += traceback.format_exception(error)
    shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    for chained in (error.__cause__, error.__context__):
        shown += [all_that_shows(chained)] if chained else []
    return "\n".join(shown)


def has_key(text: str) -> bool:
    return any(form in text for form in (KEY, quote(KEY), quote_plus(KEY), "k3y"))


def test_an_answer_comes_with_manners() -> None:
    slept = Slept()
    with serve(says(200, b"fine")) as site, asking(site.url, slept) as archive:
        answer = get(archive, f"{site.url}{API}", {"query": 'cnt:"United States"', "page": "1"})
        assert (answer.status_code, answer.content, answer.text) == (200, b"fine", "fine")
        again = get(archive, f"{site.url}/1/download", headers={"Range": "bytes=3-"}, stream=True)
        assert b"".join(chunks(again, 5)) == b"fine"
    assert site.queries()[0] == {"query": ['cnt:"United States"'], "page": ["1"], "key": [KEY]}
    path, headers = site.asked[1]
    assert path == "/1/download"
    assert (headers["Range"], headers["Accept-Encoding"]) == ("bytes=3-", "identity")
    assert {headers["User-Agent"] for _, headers in site.asked} == {f"birdflow/{__version__}"}
    assert (slept.waits, slept.seconds) == (2, [])


def test_the_answer_and_the_archive_do_not_show_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(says(200)) as site, asking(f"{site.url}/") as archive:
        answer = get(archive, f"{archive.site}{API}", {"query": "q:A"})
        assert site.queries()[0]["key"] == [KEY]
        assert answer.url == answer.request.url == f"{site.url}{API}"
        assert not has_key(f"{answer.url}{vars(answer)}{archive!r}")
        with pytest.raises(TypeError, match="opened where it is used"):
            pickle.dumps(archive)
    assert f"{API}?query=q%3AA&key=… HTTP" in caplog.text
    assert not has_key(caplog.text)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_fails_in_passing_is_asked_again_after_growing_pauses(status: int) -> None:
    slept, bad = Slept(), says(status, b"<html>overload</html>")
    with serve(bad, bad, bad, says(200, b"ok")) as site, asking(site.url, slept) as archive:
        assert search(archive) == b"ok"
    assert slept.waits == len(site.asked) == 4
    first, second, third = slept.seconds
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4


@pytest.mark.parametrize("bad", [cuts(), resets, hangs, drips])
def test_a_connection_that_fails_is_asked_again(bad: Answer) -> None:
    with serve(bad, says(200, b"ok")) as site, asking(site.url) as archive:
        assert search(replace(archive, read_s=0.2, page_s=0.2)) == b"ok"
    assert len(site.asked) == 2


def test_what_is_no_answer_is_asked_for_again() -> None:
    with serve(says(200, b"<html>"), says(200, b"ok")) as site, asking(site.url) as archive:
        answer = search(archive, wrong=lambda r: "HTML" if b"<" in r.content else "")
        assert answer == b"ok"
        assert len(site.asked) == 2


def test_the_archive_says_how_long_to_wait() -> None:
    slept, busy = Slept(), says(429, Retry_After="7")
    with serve(busy, says(200)) as site, asking(site.url, slept) as archive:
        search(archive)
    assert 7.5 <= slept.seconds[0] <= 8
    with serve(says(503, Retry_After="301")) as site, asking(site.url, slept) as archive:
        with pytest.raises(ArchiveError, match="pause of 301 s: run again later"):
            search(archive)
        assert len(site.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_what_stays_so_is_not_asked_again(status: int) -> None:
    with serve(says(status)) as site, asking(site.url) as archive:
        with pytest.raises((Refused, ArchiveError)) as caught:
            search(archive)
        assert len(site.asked) == 1
    assert isinstance(caught.value, Refused) == (status < 500)
    if isinstance(caught.value, Refused):
        assert caught.value.status == pickle.loads(pickle.dumps(caught.value)).status == status


def test_a_refusal_names_what_is_to_be_changed() -> None:
    flat = '{"error": "client_error", "message": "No such tag"}'
    nested = '{"error": {"code": "missing", "message": "No query"}}'
    with serve(says(400, flat), says(400, nested), says(401), says(404)) as site:
        name = site.url.removeprefix("http://")
        with asking(site.url) as archive:
            with pytest.raises(Refused) as one:
                search(archive)
            with pytest.raises(Refused) as other:
                search(archive)
            with pytest.raises(Refused, match=r"does not take the key: set XENO_CANTO_KEY"):
                search(archive)
            with pytest.raises(Refused) as gone:
                get(archive, f"{site.url}/7/download", stream=True)
    assert str(one.value) == f"{name} refuses the query 'gen:Turdus': No such tag"
    assert str(other.value) == f"{name} refuses the query 'gen:Turdus': No query"
    assert str(gone.value) == f"{name}/7/download is not there"


def test_the_key_goes_to_the_api_alone_also_along_redirects() -> None:
    with serve(says(200, b"sound")) as other:
        with serve(redirects(f"{other.url}{API}?key=")) as site, asking(site.url) as archive:
            with pytest.raises(Refused, match=r"sends searches on to http://127\.0\.0\.1, where"):
                search(archive)
            assert other.asked == []
            slept = Slept()
            with asking(site.url, slept) as again:
                answer = get(again, f"{site.url}/7/download", stream=True)
                assert b"".join(chunks(answer, 5)) == b"sound"
            assert slept.waits == 2
        assert other.queries() == [{}]
        assert site.queries()[1] == {}
    with serve(redirects(f"{API}?query=q:A&key={quote_plus(KEY)}"), says(200)) as site:
        with asking(site.url) as archive:
            search(archive)
        assert site.queries()[1] == {"query": ["q:A"], "key": [KEY]}


ECHO = f'{{"error": {{"message": "no {KEY} or {quote_plus(KEY)}"}}}}'
ECHO_FLAT = f'{{"error": "client_error", "message": "Invalid \'key\' {KEY}"}}'
FAILURES: dict[str, Answer] = {
    **{f"status {s}": says(s, ECHO) for s in (400, 401, 403, 404, 410, 418, 429, 500, 501, 503)},
    **{f"flat {s}": says(s, ECHO_FLAT) for s in (400, 401)},
    "HTML": says(503, f"<html>{KEY}"),
    "long": says(400, ECHO * 10_000),
    "long wait": says(429, Retry_After="9999999999"),
    "cut": cuts(),
    "cut error": says(400, b"{", Content_Length="100"),
    "reset": resets,
    "hang": hangs,
    "drip": drips,
    "bad gzip": says(200, b"abc", Content_Encoding="gzip"),
    "elsewhere": redirects(f"http://127.0.0.2:9{API}?query=x&key={quote_plus(KEY)}"),
    "round": redirects(f"{API}?key={quote_plus(KEY)}"),
    "nowhere": redirects(f"http://[bad/?key={quote_plus(KEY)}"),
    "scheme": redirects(f"gopher://x{API}?key={quote_plus(KEY)}"),
    "not HTTP": writes(b"nonsense\r\n"),
    "bad header": writes(b"HTTP/1.1 400 No\r\nA: b\r\nno header\r\nC: d\r\n\r\n{}"),
    "two lengths": says(200, Content_Length="2", content_length="3"),
    "wrong": says(200),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_shows_the_key(failure: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    limits: dict[str, Any] = {"read_s": 0.1, "page_s": 0.1, "retries": 1, "connect_s": 1}
    with serve(FAILURES[failure]) as site, asking(site.url, **limits) as archive:
        with pytest.raises((ArchiveError, Refused)) as caught:
            search(archive, wrong=lambda _: "no records")
        assert site.queries()[0]["key"] == [KEY]
    shown = all_that_shows(caught.value)
    assert not has_key(shown), shown
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert not has_key(caplog.text)


def test_an_archive_that_is_not_there_does_not_show_the_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        site = f"http://127.0.0.1:{port}"
        with asking(site, retries=1) as archive, pytest.raises(ArchiveError) as caught:
            search(archive)
    assert str(caught.value) == (
        f"127.0.0.1:{port}: no connection: Connection refused; asked 2 times"
    )
    unknown_site = asking("http://no.such.host.invalid", retries=0)
    with (
        unknown_site as none,
        pytest.raises(ArchiveError, match=r"^no\.such\.host\.inv") as unknown,
    ):
        search(none)
    for error in (caught.value, unknown.value):
        assert not has_key(all_that_shows(error))
    assert not has_key(caplog.text)


@pytest.mark.parametrize(("bad", "why"), [(cuts(), "cut"), (drips, "not done within 0.1 s")])
def test_a_streamed_body_that_fails_is_said_to(bad: Answer, why: str) -> None:
    with serve(bad) as site, asking(site.url) as archive:
        answer = get(archive, f"{site.url}/7/download", stream=True)
        got: list[bytes] = []
        with pytest.raises(ArchiveError, match=why) as caught:
            got.extend(chunks(answer, 0.1))
        assert got
        assert f"after {sum(map(len, got))} bytes" in str(caught.value)
        assert caught.value.__context__ is None


def test_an_address_that_is_none_is_refused() -> None:
    with asking("http://127.0.0.1:1") as archive:
        for url in ("gopher://x/1", "http://[bad/1", "1"):
            with pytest.raises(Refused, match="no address that can be asked") as caught:
                get(archive, url)
            assert caught.value.__context__ is None
