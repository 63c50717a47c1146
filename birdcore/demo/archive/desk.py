"""The archive's desk: which answer a request gets; it knows nothing of sockets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from birdcore.demo.archive.faults import API, Fault, Faults
from birdcore.demo.archive.index import Shelf
from birdcore.demo.archive.query import BadQuery
from birdcore.demo.archive.reply import (
    PER_PAGE,
    PER_PAGE_LIMITS,
    Reply,
    bad_request,
    no_key,
    page_of_html,
    page_of_records,
    recording,
)

SEARCH = "/api/3/recordings"
DOWNLOAD = re.compile(r"/([1-9]\d{0,9})/download")
NUMBER = re.compile(r"[1-9]\d{0,5}")


@dataclass
class Desk:
    """Answers GET requests and keeps the log of them (method, path without the key, status)."""

    shelf: Shelf
    key: str
    faults: Faults
    site: str = ""
    log: list[tuple[str, str, int]] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)

    def answer(self, target: str, headers: Mapping[str, str]) -> tuple[Reply, Fault | None]:
        """The whole answer, and what is to go wrong on its way; headers' names in lower case."""
        path, given = _split(target)
        shown = _without_key(path, given)
        if not path.startswith(API) and self._holds_key(target, headers):
            self.leaked.append(shown)
        fault = self.faults.next(shown)
        reply = _in_its_place(fault) or self._reply(path, given, headers, fault)
        self.log.append(("GET", shown, reply.status))
        return reply, fault

    def _holds_key(self, target: str, headers: Mapping[str, str]) -> bool:
        key = re.compile(rf"(?<!\w){re.escape(self.key)}(?!\w)")
        return any(key.search(text) for text in (unquote_plus(target), *headers.values()))

    def _reply(
        self, path: str, given: Mapping[str, str], headers: Mapping[str, str], fault: Fault | None
    ) -> Reply:
        if path == SEARCH:
            return self._search(given, fault)
        download = DOWNLOAD.fullmatch(path)
        if download:
            return self._download(download[1], headers)
        return page_of_html(404, "404 Not Found")

    def _search(self, given: Mapping[str, str], fault: Fault | None) -> Reply:
        if given.get("key") != self.key:
            return no_key()
        query = given.get("query", "").strip()
        if not query:
            return bad_request("missing_parameter", "No query specified")
        page, per_page = given.get("page", "1"), given.get("per_page", str(PER_PAGE))
        low, high = PER_PAGE_LIMITS
        if not NUMBER.fullmatch(page):
            return bad_request("invalid_parameter", "Invalid 'page' parameter")
        if not NUMBER.fullmatch(per_page) or not low <= int(per_page) <= high:
            return bad_request("invalid_parameter", f"'per_page' must be between {low} and {high}")
        try:
            found = self.shelf.find(query)
        except BadQuery as error:
            return bad_request("invalid_query", str(error))
        kind = fault.kind if fault else None
        return page_of_records(
            found,
            int(page),
            int(per_page),
            self.site,
            repeat=kind == "repeat",
            grow=kind == "grow",
        )

    def _download(self, number: str, headers: Mapping[str, str]) -> Reply:
        path = self.shelf.audio(number)
        if path is None:
            return page_of_html(404, "404 Not Found")
        name = f"XC{number}{path.suffix}"
        return recording(path, name, headers.get("range"), headers.get("if-range"))


def _in_its_place(fault: Fault | None) -> Reply | None:
    """The answer that a fault gives instead of the archive's, if it does."""
    match fault.kind if fault else None:
        case "429":
            return page_of_html(429, "429 Too Many Requests")
        case "429-retry-after":
            assert fault is not None
            return page_of_html(429, "429 Too Many Requests", {"Retry-After": fault.retry_after})
        case "503":
            return page_of_html(503, "503 Service Temporarily Unavailable")
        case "html":
            return page_of_html(200, "Please stand by")
    return None


def _split(target: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(target)
    return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


def _without_key(path: str, given: Mapping[str, str]) -> str:
    rest = urlencode({name: value for name, value in given.items() if name != "key"})
    return f"{path}?{rest}" if rest else path
