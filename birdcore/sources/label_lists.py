r"""The lists of labels that tables hold, in every form in which they are met.

Python and JSON write `['a', 'b']`, NumPy `['a' 'b']` (over several lines, where it is long, and
with `array(…)` around it), sets and tuples have other brackets, and people write `a, b`, `a; b`,
`a|b` or `a b`. pandas writes `nan` for none. Labels are text, also where all of them are digits.
There is no recursion and no evaluation: a list that holds lists, or anything but labels, is none.
"""

import re
from collections.abc import Container

NO_CLASS = "nocall"
"""Stands where a label would, and says that no class is heard."""
GAPS = frozenset({"", "nan", "none", "null", "<na>", "nat"})
CLOSING = {"[": "]", "(": ")", "{": "}"}

_WRAPPED = re.compile(
    r"(?:(?:np\.|numpy\.)?array|list|tuple|set|frozenset)\((.*?)(?:,\s*dtype\s*=\s*[^(),]*)?\)",
    re.S,
)
_QUOTED = r"""[uUbB]?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_WORD = r"""[^\s,;|'"\[\](){}:=]+"""
_TOKEN = re.compile(
    rf"(?:np|numpy)\.\w+\(\s*(?P<inner>{_QUOTED}|{_WORD})\s*\)|(?P<plain>{_QUOTED}|{_WORD})", re.S
)
_QUOTE_BEGINS = re.compile(r"""(?:^|[\s,;|(])[uUbB]?['"]""")
_SEPARATOR = re.compile(r"\s*[,;|]\s*|\s+")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.S)
_FLOAT = re.compile(r"(\d+)\.0+")


def label_list(text: str, known: Container[str] = ()) -> list[str]:
    """The labels of one cell, each once and in their order.

    A label with a space stands in quotes, or between commas, or is `known` and alone in the cell.
    Raises ValueError, with the reason, for all that is no list of labels.
    """
    text = text.strip()
    if text in known:
        return [text]
    content = _content(text)
    if _QUOTE_BEGINS.search(content) or "(" in content:
        labels = _tokens(content)
    elif found := re.search(r"[\[\](){}]", content):
        raise ValueError(f"{found[0]} in a list of labels")
    elif text.startswith("{") and ":" in content:
        raise ValueError("a dictionary")
    elif re.search(r"[,;|]", content):
        parts = [part.strip() for part in re.split(r"[,;|]", content)]
        labels = [_plain(word) for part in parts for word in _words(part, known)]
    else:
        labels = [_plain(word) for word in content.split()]
    if "..." in labels or "…" in labels:
        raise ValueError("it is abbreviated (...)")
    return list(dict.fromkeys(label for label in labels if label))


def _words(part: str, known: Container[str]) -> list[str]:
    """What stands between two commas: one label, also with a space, or several that are known."""
    words = part.split()
    several = part not in known and all(word in known for word in words)
    return words if several else [part]


def _content(text: str) -> str:
    """What stands between the brackets, or all of it."""
    if wrapped := _WRAPPED.fullmatch(text):
        text = wrapped[1].strip()
        if not text:
            return ""
        if text[0] not in CLOSING:
            raise ValueError("no list between the parentheses")
    if text[:1] in CLOSING:
        if len(text) < 2 or text[-1] != CLOSING[text[0]]:
            raise ValueError(f"{text[0]} without {CLOSING[text[0]]} at the end")
        return text[1:-1].strip()
    return text


def _tokens(content: str) -> list[str]:
    """Labels in quotes, or words and numbers beside such."""
    labels = []
    at = 0
    while at < len(content):
        token = _TOKEN.match(content, at)
        if token is None:
            raise ValueError(f"{content[at : at + 20]!r} is no label")
        labels.append(_label(token["inner"] or token["plain"]))
        at = token.end()
        separator = _SEPARATOR.match(content, at)
        if separator is None and at < len(content):
            raise ValueError(f"no comma or space before {content[at : at + 20]!r}")
        at = separator.end() if separator else at
    return labels


def _label(token: str) -> str:
    if token[-1] not in "'\"":
        return _plain(token)
    inner = token[token.index(token[-1]) + 1 : -1]
    if "\\" in inner:
        try:
            inner = (
                _ESCAPE.sub(_unescaped, inner).encode("utf-16", "surrogatepass").decode("utf-16")
            )
        except UnicodeDecodeError:
            raise ValueError(f"{token[:20]} is no text") from None
    return inner.strip()


def _unescaped(escape: re.Match[str]) -> str:
    if escape[3] and escape[3] not in "'\"\\/":
        raise ValueError(f"{escape[0]} is no letter")
    return escape[3] or chr(int(escape[1] or escape[2], 16))


def _plain(word: str) -> str:
    """A label without quotes: no gap, and a number as it was before a table made a float of it."""
    if word.lower() in GAPS:
        return ""
    whole = _FLOAT.fullmatch(word)
    return whole[1] if whole else word
