"""A page of what an archive lists: asked for, checked and refused alike for each archive."""

from collections.abc import Callable, Mapping
from typing import Any

import requests

from birdcore.archives.answer import parse_answer
from birdcore.archives.client import Archive, get
from birdcore.archives.errors import Refused, error_text


def get_page(
    archive: Archive,
    path: str,
    params: Mapping[str, str],
    *,
    query: str,
    rows: str,
    what: str,
    wrong: Callable[[dict[str, Any]], str] = lambda answer: "",
) -> dict[str, Any]:
    """A page's JSON, which has a list.

    Args:
        archive: Which.
        path: Of the list below the archive's site.
        params: Of the request.
        query: What was searched for, to name it where the archive refuses it.
        rows: The name of the list in the answer.
        what: What it lists, in words.
        wrong: What else is wrong with an answer that has the list; "" for nothing.

    Raises:
        Refused: The archive does not take the query or the key.
        ArchiveError: It can't be had, or answers with something else.
    """

    def why(response: requests.Response) -> str:
        try:
            answer = parse_answer(response.content)
        except (ValueError, RecursionError):
            html = response.content.lstrip()[:1] == b"<"
            return f"answers with {'a web page' if html else 'what is no JSON'} instead of {what}"
        if isinstance(answer, dict) and "error" in answer:
            return ""
        listed = answer.get(rows) if isinstance(answer, dict) else None
        if not isinstance(listed, list) or (
            listed and not any(isinstance(r, dict) for r in listed)
        ):
            return f"answers without a list of {what}"
        assert isinstance(answer, dict)
        return wrong(answer)

    answer = parse_answer(get(archive, f"{archive.site}{path}", params, wrong=why).content)
    assert isinstance(answer, dict)
    if "error" in answer:
        raise Refused(f"{archive.site} refuses {query!r}: {error_text(answer, archive.key)}")
    return answer
