"""How an archive of other people is asked: slowly, honestly, and without telling anyone its key.

A request that fails in passing is made again after a growing, jittered pause; one that will never
do is refused with what to change. The key goes to the archive's API and nowhere else.
"""

import json
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import NoReturn
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import numpy as np
import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from urllib3.exceptions import HTTPError

from birdcore import __version__
from birdcore.xeno_canto.connection import ended_after, new_session
from birdcore.xeno_canto.errors import (
    ArchiveError,
    Refused,
    error_text,
    keep_keys_out_of_logs,
    reason,
    refusal,
)
from birdcore.xeno_canto.pause import back_off_s, pace, retry_after_s

__all__ = ["Archive", "ArchiveError", "Refused", "chunks", "get", "is_api", "open_archive", "pace"]

FINE = frozenset({200, 206, 416})
AGAIN = frozenset({429, 500, 502, 503, 504})
MOVED = frozenset({301, 302, 303, 307, 308})
REDIRECTS = 5
CHUNK = 1 << 16
PAGE_BYTES = 1 << 25
"""Of an answer that is not streamed, packed and unpacked: 500 records have about a thirtieth."""


@dataclass(frozen=True)
class Archive:
    """An archive that can be asked; threads may share it, processes open their own.

    `wait` is called before every request, also before retries and along redirects.
    """

    site: str
    key: str = field(repr=False)
    session: requests.Session = field(repr=False)
    wait: Callable[[], None] = field(repr=False)
    retries: int = 5
    connect_s: float = 10.0
    read_s: float = 60.0
    """The longest silence, and the longest that the head of an answer may take."""
    page_s: float = 300.0
    """The longest that an answer that is not streamed may take."""
    patience_s: float = 300.0
    """The longest pause that the archive may ask for."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    rng: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an archive holds the key: it is opened where it is used, and never stored")


def open_archive(
    site: str,
    key: str,
    wait: Callable[[], None],
    *,
    retries: int = 5,
    sleep: Callable[[float], None] = time.sleep,
) -> Archive:
    """An archive at a site such as https://xeno-canto.org; `with` closes its connections.

    `key` may be empty where only files are fetched. Raises ValueError for a site that is no
    http(s) address. `dataclasses.replace` sets the other limits.
    """
    parts = urlsplit(site)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"site {site!r} is not like https://xeno-canto.org")
    keep_keys_out_of_logs()
    session = new_session()
    session.headers["User-Agent"] = f"birdflow/{__version__}"
    return Archive(site.rstrip("/"), key.strip(), session, wait, retries=retries, sleep=sleep)


@dataclass(frozen=True)
class _Setback:
    """Why an attempt failed, and how long the archive asks to wait."""

    why: str
    wait_s: float = 0.0


def get(
    archive: Archive,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    stream: bool = False,
    wrong: Callable[[requests.Response], str] = lambda _: "",
) -> requests.Response:
    """The answer to a request: status 200, 206, or 416 (there is no such Range).

    A streamed body is left to `chunks`. Any other is there in full, and `wrong` may say why it is
    no answer: then it is asked for again. The key goes along by itself, to the site's /api/ and
    nowhere else, also not along a redirect; the answer no longer has it. Raises ArchiveError after
    the retries, Refused at once.
    """
    name, tries, why = urlsplit(archive.site).netloc, archive.retries + 1, ""
    for attempt in range(tries):
        answer = _attempt(archive, url, params or {}, headers or {}, stream)
        if not isinstance(answer, _Setback):
            if stream or not (why := wrong(answer)):
                return answer
            answer = _Setback(why)
        why = answer.why
        if answer.wait_s > archive.patience_s:
            raise ArchiveError(
                f"{name}: {why}, and asks for a pause of {answer.wait_s:.0f} s: run again later"
            )
        if attempt < archive.retries:
            archive.sleep(answer.wait_s + back_off_s(attempt, archive.rng))
    raise ArchiveError(f"{name}: {why}; asked {tries} times")


def chunks(response: requests.Response, within_s: float) -> Iterator[bytes]:
    """A streamed body as it arrives, not unpacked, in pieces of up to 64 KiB; then it is closed.

    Raises ArchiveError where it is cut, falls silent, or takes longer than `within_s`.
    """
    end, got, why = time.monotonic() + within_s, 0, ""
    with response:
        try:
            # A byte now and then within the framing of chunks would keep one read busy for ever.
            with ended_after(within_s, response.raw.shutdown):
                # read1: what is there, and no waiting for a full piece.
                while time.monotonic() < end and (
                    piece := response.raw.read1(CHUNK, decode_content=False)
                ):
                    got += len(piece)
                    yield piece
                if time.monotonic() < end:
                    return
        except (HTTPError, OSError) as error:
            why = reason(error)
    why = why if time.monotonic() < end else f"not done within {within_s:g} s"
    raise ArchiveError(f"{why}, after {got} bytes")


def _attempt(
    archive: Archive, url: str, params: Mapping[str, str], headers: Mapping[str, str], stream: bool
) -> requests.Response | _Setback:
    at = url
    for hop in range(REDIRECTS + 1):
        archive.wait()
        response = _send(archive, at, {} if hop else params, headers, stream)
        if isinstance(response, _Setback):
            return response
        target = _target(at, response)
        if target is None:
            break
        response.close()
        if away := _leads_away(archive, at, target):
            raise Refused(
                f"{archive.site} sends searches on to {away}, where the key does not go: "
                "set `site` if the archive is there now"
            )
        at = target
    else:
        raise Refused(f"{url} is redirected more than {REDIRECTS} times")
    if response.status_code in AGAIN:
        response.close()
        wait_s = retry_after_s(response.headers.get("Retry-After", ""), datetime.now(UTC))
        return _Setback(f"answers with status {response.status_code}", wait_s)
    if response.status_code not in FINE:
        said = _said(archive, response)
        raise refusal(response.status_code, _bare(at), params.get("query", ""), said)
    if not stream:
        try:
            response.raw = BytesIO(_body(response, archive.page_s, PAGE_BYTES))
        except ArchiveError as error:
            return _Setback(str(error))
    return response


def _send(
    archive: Archive, url: str, params: Mapping[str, str], headers: Mapping[str, str], stream: bool
) -> requests.Response | _Setback:
    try:
        response = archive.session.get(
            url,
            params={**params, "key": archive.key} if is_api(archive, url) else params,
            # A Range counts the bytes that are sent, so files come unpacked.
            headers={"Accept-Encoding": "identity" if stream else "gzip", **headers},
            timeout=(archive.connect_s, archive.read_s),
            allow_redirects=False,
            stream=True,
        )
    except (InvalidURL, InvalidSchema, MissingSchema):
        pass  # and raised below: from here it would take the library's exception along
    except ValueError:
        return _Setback("answers with what is no HTTP")
    except (HTTPError, OSError) as error:
        return _Setback(reason(error))
    else:
        response.url = response.request.url = _bare(url)
        return response
    raise Refused(f"{_bare(url)!r} leads to no address that can be asked")


def is_api(archive: Archive, url: str) -> bool:
    """Whether the address is where the archive asks for the key."""
    return url.startswith(f"{archive.site}/api/")


def _target(url: str, response: requests.Response) -> str | None:
    """Where an answer redirects to, without the key; None where it does not."""
    to = response.headers.get("Location")
    if response.status_code not in MOVED or not to:
        return None
    try:
        return _without_key(urljoin(url, to))
    except ValueError:
        return "no address"


def _leads_away(archive: Archive, url: str, target: str) -> str:
    """Where a search is redirected to, if that is not the archive's API."""
    if not is_api(archive, url) or is_api(archive, target):
        return ""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "what is no address"
    return f"{parts.scheme}://{parts.hostname}"


def _without_key(url: str) -> str:
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "key"]
    return parts._replace(query=urlencode(kept)).geturl() if "key=" in parts.query else url


def _bare(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def _body(response: requests.Response, within_s: float, most_bytes: int) -> bytes:
    """A body, unpacked; raises ArchiveError as `chunks` does, and for one that is too large.

    Unpacked here, for a library would unpack a bomb as far as it goes.
    """
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing not in ("", "identity", "gzip", "x-gzip"):
        response.close()
        raise ArchiveError("the answer is packed in a way that was not asked for")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in packing else None
    got, body = 0, bytearray()
    for piece in chunks(response, within_s):
        got += len(piece)
        try:
            body += piece if unpack is None else unpack.decompress(piece, most_bytes + 1)
        except zlib.error:
            raise ArchiveError("the answer can't be unpacked") from None
        if max(got, len(body)) > most_bytes:
            response.close()
            raise ArchiveError(f"the answer has more than {most_bytes} bytes")
    if unpack is not None and not unpack.eof:
        raise ArchiveError("the answer ends early")
    return bytes(body)


def _said(archive: Archive, response: requests.Response) -> str:
    """What the archive says of an error; nothing where that is HTML or long."""
    try:
        return error_text(json.loads(_body(response, archive.connect_s, CHUNK)), archive.key)
    except (ArchiveError, ValueError, RecursionError):
        return ""
