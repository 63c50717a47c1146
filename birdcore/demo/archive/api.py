"""What the archive answers to a request, without sockets: searches, recordings and errors.

The forms are those of Xeno-canto's API v3, counts as text and pages as numbers included, so that a
client that works here works there; but files are sent whole. Tests request parts
(`tests/support/archive.py`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from birdcore.demo.archive.query import BadQuery, Raw
from birdcore.demo.archive.records import RecordIndex, is_url

API = "/api/"
SEARCH = "/api/3/recordings"
DOWNLOAD = re.compile(r"/([1-9]\d{0,9})/download")
NUMBER = re.compile(r"[1-9]\d{0,5}")
PER_PAGE = 100
PER_PAGE_LIMITS = (50, 500)
TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg"}
NO_KEY = (
    "Missing or invalid 'key' parameter. Visit https://xeno-canto.org/account to retrieve your "
    "API key."
)


@dataclass(frozen=True)
class Reply:
    """A whole answer; `length` is announced in place of the body's own where it is given."""

    status: int
    body: bytes
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class ArchiveApi:
    """Answers GET requests and logs them.

    Attributes:
        records: What is served.
        key: The key that searches must give.
        site: Address of the server, for the addresses of files.
        log: Method, path without the key, and status of each request.
    """

    records: RecordIndex
    key: str
    site: str = ""
    log: list[tuple[str, str, int]] = field(default_factory=list)

    def answer(self, target: str, headers: Mapping[str, str]) -> Reply:
        """The answer to a request.

        Args:
            target: Path and query of the request.
            headers: Its headers; names in lower case.
        """
        path, given = split_target(target)
        reply = self.reply(path, given, headers)
        self.log.append(("GET", without_key(path, given), reply.status))
        return reply

    def reply(self, path: str, given: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """The answer before it is logged."""
        if path == SEARCH:
            return self._search(given)
        download = DOWNLOAD.fullmatch(path)
        file = self.records.audio(download[1]) if download else None
        if download is None or file is None:
            return page_of_html(404, "404 Not Found")
        return self.download(file, headers)

    def download(self, file: Path, headers: Mapping[str, str]) -> Reply:
        """The answer to a request for a recording: all of it, whatever part is requested."""
        return recording(file)

    def _search(self, given: Mapping[str, str]) -> Reply:
        if given.get("key") != self.key:
            return _json(401, {"error": "client_error", "message": NO_KEY})
        query = given.get("query", "").strip()
        if not query:
            return _bad_request("missing_parameter", "No query specified")
        page, per_page = given.get("page", "1"), given.get("per_page", str(PER_PAGE))
        low, high = PER_PAGE_LIMITS
        if not NUMBER.fullmatch(page):
            return _bad_request("invalid_parameter", "Invalid 'page' parameter")
        if not NUMBER.fullmatch(per_page) or not low <= int(per_page) <= high:
            return _bad_request("invalid_parameter", f"'per_page' must be between {low} and {high}")
        try:
            found = self.records.find(query)
        except BadQuery as error:
            return _bad_request("invalid_query", str(error))
        return page_of_records(found, int(page), int(per_page), self.site)


def split_target(target: str) -> tuple[str, dict[str, str]]:
    """Path and parameters of a request."""
    parts = urlsplit(target)
    return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


def without_key(path: str, given: Mapping[str, str]) -> str:
    """Path and parameters as the log has them."""
    rest = urlencode({name: value for name, value in given.items() if name != "key"})
    return f"{path}?{rest}" if rest else path


def page_of_html(status: int, title: str, headers: Mapping[str, str] | None = None) -> Reply:
    html = f"<!doctype html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1>"
    return Reply(status, f"{html}</body></html>\n".encode(), "text/html", headers or {})


def page_of_records(found: Sequence[Raw], page: int, per_page: int, site: str) -> Reply:
    """One page of a search; a page after the last has no records."""
    start = (page - 1) * per_page
    species = {(raw.get("gen"), raw.get("sp")) for raw in found}
    content: dict[str, Any] = {
        "numRecordings": str(len(found)),
        "numSpecies": str(len(species)),
        "page": page,
        "numPages": -(-len(found) // per_page),
        "recordings": [_with_file(raw, site) for raw in found[start : start + per_page]],
    }
    return _json(200, content)


def recording(path: Path) -> Reply:
    """A whole file."""
    media = TYPES.get(path.suffix.lower(), "application/octet-stream")
    return Reply(200, path.read_bytes(), media)


def _with_file(raw: Raw, site: str) -> Raw:
    if not is_url(raw.get("file")):
        return raw
    return {**raw, "file": f"{site}/{raw['id']}/download"}


def _bad_request(code: str, message: str) -> Reply:
    return _json(400, {"error": {"code": code, "message": message}})


def _json(status: int, content: object) -> Reply:
    return Reply(status, json.dumps(content).encode())
