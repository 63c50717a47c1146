"""Answers of the archive, whole: pages of records, recordings in full or in part, errors."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from birdcore.demo.archive.index import is_url
from birdcore.demo.archive.query import Raw

PER_PAGE = 100
PER_PAGE_LIMITS = (50, 500)
REPEATED = 10  # records of the page before, where records repeat across pages
TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg"}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
NO_KEY = (
    "Missing or invalid 'key' parameter. Visit https://xeno-canto.org/account to retrieve your "
    "API key."
)


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def no_key() -> Reply:
    return _json(401, {"error": "client_error", "message": NO_KEY})


def bad_request(code: str, message: str) -> Reply:
    return _json(400, {"error": {"code": code, "message": message}})


def page_of_html(status: int, title: str, headers: Mapping[str, str] | None = None) -> Reply:
    html = f"<!doctype html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1>"
    return Reply(status, f"{html}</body></html>\n".encode(), "text/html", headers or {})


def page_of_records(
    found: Sequence[Raw],
    page: int,
    per_page: int,
    site: str,
    repeat: bool = False,
    grow: bool = False,
) -> Reply:
    """One page of a search; a page after the last has no records."""
    pages = -(-len(found) // per_page)
    start = (page - 1) * per_page
    shown = list(found[start : start + per_page])
    if repeat:
        shown = [*(found[max(0, start - REPEATED) : start] or shown[:REPEATED]), *shown]
    total = len(found)
    if grow and page + 1 < pages:  # so far; who goes on sees the rest
        pages = page + 1
        total = pages * per_page
    species = {(raw.get("gen"), raw.get("sp")) for raw in found}
    envelope = {
        "numRecordings": str(total),
        "numSpecies": str(len(species)),
        "page": page,
        "numPages": pages,
        "recordings": [_here(raw, site) for raw in shown],
    }
    return _json(200, envelope)


def recording(path: Path, name: str, asked: str | None, if_range: str | None) -> Reply:
    """A file, or the part of it that `Range` asks for, if it is still the one of `If-Range`."""
    stat = path.stat()
    size = stat.st_size
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_ctime_ns:x}-{stat.st_ino:x}-{size:x}"',
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    media = TYPES.get(path.suffix.lower(), "application/octet-stream")
    same = if_range in (None, headers["ETag"], headers["Last-Modified"])
    part = _part(asked, size) if asked and same else None
    if part is None:
        return Reply(200, path.read_bytes(), media, headers)
    start, stop = part
    if start >= stop:
        return Reply(416, b"", media, headers | {"Content-Range": f"bytes */{size}"})
    with path.open("rb") as file:
        file.seek(start)
        body = file.read(stop - start)
    return Reply(206, body, media, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None where the header is not to be heeded."""
    match = RANGE.fullmatch(asked.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return (max(0, size - int(match[2])), size)
    if match[2] and int(match[2]) < int(match[1]):
        return None
    return (int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)


def _here(raw: Raw, site: str) -> Raw:
    if not is_url(raw.get("file")):
        return raw
    return {**raw, "file": f"{site}/{raw['id']}/download"}


def _json(status: int, content: object) -> Reply:
    return Reply(status, json.dumps(content).encode())
