"""The archive's JSON, read so that what is wrong with one record costs no other.

Counts come as text or as numbers, numbers may be longer than any that is meant, and text of people
may be nested deeper than a parser goes.
"""

import json
import re

DEEPEST = 20
"""Records are nested less; what is nested deeper is replaced by null."""


def parse_count(value: object) -> int | None:
    """A count as text or number, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def parse_answer(content: bytes) -> object:
    """An answer's JSON. What is nested too deep is null in it, and long numbers are text.

    So what is wrong with one record makes nothing of the others.
    """

    def number(text: str) -> int | str:
        return int(text) if len(text) < 20 else text

    try:
        return json.loads(content, parse_int=number)
    except RecursionError:
        return json.loads(_shallow(content), parse_int=number)


def _shallow(content: bytes) -> bytes:
    """JSON with null for whatever is nested deeper than `DEEPEST`."""
    kept, depth, at = bytearray(), 0, 0
    for token in re.finditer(rb'"(?:[^"\\]++|\\.)*+"|[][{}]', content, re.DOTALL):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth == DEEPEST + 1:
                kept += content[at : token.start()] + b"null"
        elif token[0] in (b"]", b"}"):
            depth -= 1
            if depth == DEEPEST:
                at = token.end()
    return bytes(kept + content[at:]) if depth <= DEEPEST else b""
