"""The page of `birdflow review`: on loopback, behind a login; clips are cut when asked for.

The page by itself holds no data. What it shows comes from `/api`, which wants the login in a header
that no other web page can send, and the gate refuses other hosts, origins and frames.
"""

import hmac
import json
import secrets
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import birdcore.detection
from birdcore.audio.stream import Rejected
from birdcore.detection.examples import Piece, cut_piece
from birdcore.detection.review_order import Clip
from birdcore.detection.review_summary import differ, others
from birdcore.detection.review_table import Answer, Verdict, Verdicts, VerdictTable
from birdcore.pages.template import environment
from birdcore.text import first_error, plain_text
from flows.gate import gate
from flows.login import USER, entrance, listen

PAGES = Path(birdcore.detection.__file__).parent
HELD = 4
"""Clips that are kept after they were cut: a page asks for the next one while this one plays."""
MOST_BYTES = 4096
"""Of what a page sends."""
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src data:; media-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


class Said(BaseModel):
    """What the page sends of a clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Answer
    other: str = Field(default="", max_length=200)


@dataclass(frozen=True)
class Review:
    """What a person listens to.

    Attributes:
        clips: In order.
        classes: Classes that may be heard instead, with the name that people know.
        root: Where the recordings are.
        table: Where the verdicts go.
    """

    clips: Sequence[Clip]
    classes: dict[str, str]
    root: Path
    table: VerdictTable


def application(review: Review, login: str) -> Starlette:
    """The page and what it asks for.

    Args:
        review: What is listened to.
        login: As `user:password`, which `/api` wants.
    """
    clips, writing = {clip.id: clip for clip in review.clips}, Lock()
    key = b"Basic " + b64encode(login.encode())

    def guarded(answer: Callable[[Request], Awaitable[Response]]) -> Any:
        async def asked(request: Request) -> Response:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), key):
                return _error("open the address that birdflow review has printed", 401)
            return await answer(request)

        return asked

    @lru_cache(HELD)
    def cut(clip: Clip) -> Piece:
        return cut_piece(review.root / clip.file, clip.start_s, clip.end_s)

    async def listed(request: Request) -> Response:
        try:
            return _json(await run_in_threadpool(_listed, review))
        except (ValueError, OSError) as error:  # somebody's table can't be read any more
            return _error(plain_text(str(error)), 500)

    async def piece(request: Request) -> Response:
        if (clip := clips.get(request.path_params["id"])) is None:
            return _error("there is no such clip", 404)
        try:
            made = await run_in_threadpool(cut, clip)
        except Rejected as error:
            return _json({"reason": plain_text(str(error))})
        return _json(
            {
                "picture": _data("image/png", made.picture),
                "sound": _data("audio/flac", made.sound),
                "part": made.part,
                "highest_khz": made.highest_hz / 1000,
            }
        )

    async def verdict(request: Request) -> Response:
        if (clip := clips.get(request.path_params["id"])) is None:
            return _error("there is no such clip", 404)
        content = b""
        async for part in request.stream():
            content += part
            if len(content) > MOST_BYTES:
                return _error("too long", 413)
        try:
            said = Said.model_validate_json(content)
            given = Verdict(said.answer, plain_text(said.other))
            shown = await run_in_threadpool(add, clip, given)
        except ValidationError as error:
            return _error(first_error(error), 400)
        except ValueError as error:
            return _error(plain_text(str(error)), 400)
        except OSError as error:
            return _error(f"not saved: {error.strerror}", 500)
        return _json(shown)

    def add(clip: Clip, given: Verdict) -> dict[str, Any]:
        table = review.table
        with writing:  # threads; another process would need the table's lock
            table.add(clip, given)
        return _shown(clip, table, others(table.path.parent, table.annotator))

    routes = [
        Route("/api/clips", guarded(listed)),
        Route("/api/clips/{id}", guarded(piece)),
        Route("/api/clips/{id}/verdict", guarded(verdict), methods=["POST"]),
        *(Route(path, partial(_file, *file)) for path, file in _files().items()),
    ]
    return Starlette(routes=routes)


def serve(review: Review, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page on loopback until Ctrl-C.

    Args:
        review: What is listened to.
        port: On 127.0.0.1; 0 for any free one.
        ready: Called with the address that logs a browser in, when the port listens.

    Raises:
        OSError: Something else listens on the port.
    """
    import uvicorn

    login = f"{USER}:{secrets.token_urlsafe(16)}"
    try:
        listening = listen(port)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: give another --port", f"{port}") from None
    with listening:
        port = listening.getsockname()[1]
        ready(entrance(f"http://127.0.0.1:{port}", login))
        app = gate(application(review, login), port, login)
        _run(uvicorn.Config(app, log_level="warning", lifespan="off"), listening)


def _run(config: Any, listening: socket.socket) -> None:
    import uvicorn

    try:
        uvicorn.Server(config).run([listening])
    except KeyboardInterrupt:
        return


def _listed(review: Review) -> dict[str, Any]:
    said_by = others(review.table.path.parent, review.table.annotator)
    names = [{"code": code, "name": plain_text(name)} for code, name in review.classes.items()]
    clips = [_shown(clip, review.table, said_by) for clip in review.clips]
    return {"annotator": review.table.annotator, "classes": names, "clips": clips}


def _shown(clip: Clip, table: VerdictTable, said_by: Mapping[str, Verdicts]) -> dict[str, Any]:
    """A clip with what was said of it; what others say only after one's own verdict."""
    own = table.verdicts.get(clip.key)
    theirs = {who: said[clip.key] for who, said in said_by.items() if clip.key in said}
    shown = {} if own is None or not differ([own, *theirs.values()]) else theirs
    texts = ("scientific_name", "common_name", "file")
    return {
        **asdict(clip),
        **{name: plain_text(getattr(clip, name)) for name in texts},
        "id": clip.id,
        "verdict": None if own is None else asdict(own),
        "others": {plain_text(who): asdict(said) for who, said in shown.items()},
    }


def _files() -> dict[str, tuple[str, str]]:
    """The page, its script and its style, by address: (content, media type)."""
    style = "".join((folder / name).read_text() for folder, name in _styles())
    page = environment(PAGES).get_template("review.html").render()
    return {
        "/": (page, "text/html"),
        "/review.js": ((PAGES / "review.js").read_text(), "text/javascript"),
        "/review.css": (style, "text/css"),
    }


def _styles() -> list[tuple[Path, str]]:
    import birdcore.pages

    shared = Path(birdcore.pages.__file__).parent
    return [(shared, "page.css"), (PAGES, "detections.css"), (PAGES, "review.css")]


async def _file(content: str, kind: str, request: Request) -> Response:
    return Response(content, media_type=kind, headers=HEADERS)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _json(content: object, status: int = 200) -> Response:
    # ASCII: a name of the file system may hold what UTF-8 does not.
    body = json.dumps(content).encode()
    return Response(body, status, HEADERS, "application/json")


def _error(what: str, status: int) -> Response:
    return _json({"error": what}, status)
