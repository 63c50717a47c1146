"""The archive's query language, as far as the demo needs it: tags of text, all of which must hold.

    grp:birds  gen:Turdus  sp:merula  cnt:"United Kingdom"

Text without a tag and unknown tags are errors, so that a client's mistake shows. Letters' case is
ignored. Tests give `parse` the archive's other tags (`tests/support/archive_query.py`).
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

Raw: TypeAlias = Mapping[str, object]
Test: TypeAlias = Callable[[Raw], bool]
Tags: TypeAlias = Mapping[str, Callable[[str], Test]]
"""By tag, a function from the tag's value, in lower case, to a test of records."""

TERM = re.compile(r'\s*([a-z]+):(?:"([^"]*)"|([^\s"<>=]+))(?=\s|$)')


class BadQuery(ValueError):
    """A query that the archive answers with status 400."""


def field_text(raw: Raw, name: str) -> str:
    """A field of a record in lower case; empty where it has none."""
    value = raw.get(name)
    return "" if value is None else str(value).casefold()


def starts(name: str) -> Callable[[str], Test]:
    """A field that begins with the value, as the archive reads names."""
    return lambda value: lambda raw: field_text(raw, name).startswith(value)


TAGS: Tags = {tag: starts(tag) for tag in ("gen", "sp", "ssp", "cnt", "grp")}


def parse(query: str, tags: Tags = TAGS) -> Test:
    """A test of records; raises BadQuery."""
    tests: list[Test] = []
    query = query.rstrip()
    place = 0
    while place < len(query):
        term = TERM.match(query, place)
        if term is None:
            raise BadQuery(f"Query text must use tags: {query[place:].strip()!r}")
        tag, quoted, plain = term.groups()
        if tag not in tags:
            raise BadQuery(f"Unknown tag {tag!r}")
        tests.append(tags[tag]((quoted if plain is None else plain).strip().casefold()))
        place = term.end()
    return lambda raw: all(test(raw) for test in tests)
