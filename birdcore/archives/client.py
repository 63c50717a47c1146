"""Requests to the archive: paced, retried with back-off, and with the key sent to its API alone.

A request that fails for the moment is repeated after a growing, jittered pause, or after the time
that the archive asks for; one that can never succeed is refused with what to change. Retries are
our own and not urllib3's: each try waits for the rate limit again, an answer of status 200 may be
no answer, and no exception may carry the address, which holds the key.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
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
from birdcore.archives.connection import CHUNK, chunks, new_session, read_body
from birdcore.archives.errors import (
    ArchiveError,
    Refused,
    error_text,
    reason,
    redact_keys_in_logs,
    status_error,
)
from birdcore.archives.pacing import backoff_s, pace, retry_after_s

__all__ = ["Archive", "ArchiveError", "Refused", "chunks", "get", "is_api", "open_archive", "pace"]

# 416 answers a Range that begins at the end of the file: the partial may be whole.
ACCEPTED = frozenset({200, 206, 416})
RETRIED = frozenset({429, 500, 502, 503, 504})
REDIRECTED = frozenset({301, 302, 303, 307, 308})
REDIRECTS = 5
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
    """An archive; `with` closes its connections, `dataclasses.replace` sets its other limits.

    Args:
        site: Such as https://xeno-canto.org; `birdcore.config.XenoCanto` checks it.
        key: May be empty where only files are fetched.
        wait: Called before each request; returns when it may be made.
        retries: How often a request that failed is repeated.
        sleep: Waits between tries.
    """
    redact_keys_in_logs()
    session = new_session()
    session.headers["User-Agent"] = f"birdflow/{__version__}"
    return Archive(site.rstrip("/"), key.strip(), session, wait, retries=retries, sleep=sleep)


class _Retry(Exception):
    """An attempt failed for the moment: why, and how long the archive asks to wait."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


def get(
    archive: Archive,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    stream: bool = False,
    wrong: Callable[[requests.Response], str] = lambda _: "",
) -> requests.Response:
    """The answer to a request: status 200, 206, or 416 (there is no such Range).

    The key is added to requests below the site's /api/ and to no others, redirects included; the
    answer does not contain it.

    Args:
        archive: Where to.
        url: The address, without parameters.
        params: Parameters of the query.
        headers: Beside our own.
        stream: Leave the body to `chunks`; else it is read in full.
        wrong: Says why a whole answer is none, or ""; then the request is repeated.

    Raises:
        ArchiveError: All tries failed, or the archive asks for a longer pause than we wait.
        Refused: The archive will not give this.
    """
    name, tries, why = urlsplit(archive.site).netloc, archive.retries + 1, ""
    for attempt in range(tries):
        wait_s = 0.0
        try:
            response = _attempt(archive, url, params or {}, headers or {}, stream)
            if stream or not (why := wrong(response)):
                return response
        except _Retry as failed:  # nothing is raised in here: it would hold the address
            why, wait_s = str(failed), failed.wait_s
        if wait_s > archive.patience_s:
            raise ArchiveError(
                f"{name}: {why}, and asks for a pause of {wait_s:.0f} s: run again later"
            )
        if attempt < archive.retries:
            archive.sleep(wait_s + backoff_s(attempt, archive.rng))
    raise ArchiveError(f"{name}: {why}; asked {tries} times")


def _attempt(
    archive: Archive, url: str, params: Mapping[str, str], headers: Mapping[str, str], stream: bool
) -> requests.Response:
    """One try, along redirects; raises _Retry where another may succeed."""
    at = url
    for hop in range(REDIRECTS + 1):
        archive.wait()
        response = _send(archive, at, {} if hop else params, headers, stream)
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
    if response.status_code in RETRIED:
        response.close()
        wait_s = retry_after_s(response.headers.get("Retry-After", ""), datetime.now(UTC))
        raise _Retry(f"answers with status {response.status_code}", wait_s)
    if response.status_code not in ACCEPTED:
        message = _error_message(archive, response)
        raise status_error(
            response.status_code, _without_query(at), params.get("query", ""), message
        )
    if not stream:
        try:
            response.raw = BytesIO(read_body(response, archive.page_s, PAGE_BYTES))
        except ArchiveError as error:
            raise _Retry(str(error)) from None
    return response


def _send(
    archive: Archive, url: str, params: Mapping[str, str], headers: Mapping[str, str], stream: bool
) -> requests.Response:
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
        raise _Retry("answers with what is no HTTP") from None
    except (HTTPError, OSError) as error:
        raise _Retry(reason(error)) from None
    else:
        response.url = response.request.url = _without_query(url)
        return response
    raise Refused(f"{_without_query(url)!r} leads to no address that can be asked")


def is_api(archive: Archive, url: str) -> bool:
    """Whether the address is where the archive asks for the key."""
    return url.startswith(f"{archive.site}/api/")


def _target(url: str, response: requests.Response) -> str | None:
    """Where an answer redirects to, without the key; None where it does not."""
    to = response.headers.get("Location")
    if response.status_code not in REDIRECTED or not to:
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


def _without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def _error_message(archive: Archive, response: requests.Response) -> str:
    """What the archive says of an error; nothing where that is HTML or long."""
    try:
        return error_text(json.loads(read_body(response, archive.connect_s, CHUNK)), archive.key)
    except (ArchiveError, ValueError, RecursionError):
        return ""
