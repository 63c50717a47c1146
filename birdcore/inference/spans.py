"""Names of windows of recordings, in tables of what models predict for them."""

from collections.abc import Sequence

SPAN = "#t="
"""Between a recording's name and the seconds of a window (W3C Media Fragments)."""


def span_name(recording: str, start_s: float, end_s: float) -> str:
    """The name of a window of a recording.

    Example:
        >>> span_name("a.ogg", 5, 7.5)
        'a.ogg#t=5,7.5'
    """
    return f"{recording}{SPAN}{_seconds(start_s)},{_seconds(end_s)}"


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def start_of(name: str) -> tuple[str, float]:
    """The recording of a window's name, and where the window begins; 0 for a recording's own.

    Example:
        >>> start_of("a#1.ogg#t=5,7.5"), start_of("a#1.ogg")
        (('a#1.ogg', 5.0), ('a#1.ogg', 0.0))
    """
    recording, found, span = name.rpartition(SPAN)
    return (recording, float(span.split(",")[0])) if found else (name, 0.0)


def aligned_names(names: Sequence[str]) -> list[str]:
    """Names whose seconds are rounded to tenths, so that models of different frames name a window
    alike; as they are where two would then be one.

    Example:
        >>> aligned_names(["a.ogg", "a.ogg#t=4.992,10", "a.ogg#t=10,15.008"])
        ['a.ogg', 'a.ogg#t=5,10', 'a.ogg#t=10,15']
    """
    aligned = [_aligned(name) for name in names]
    return aligned if len(set(aligned)) == len(set(names)) else list(names)


def _aligned(name: str) -> str:
    recording, found, span = name.rpartition(SPAN)
    if not found:
        return name
    start, end = (round(float(edge), 1) for edge in span.split(","))
    return span_name(recording, start, end)
