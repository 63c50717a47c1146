"""Scores as lines of text: what a summary and `birdflow score` say, without importing torch."""

from collections.abc import Iterable
from typing import Any

from birdcore.metrics import Estimate
from birdcore.stages.score import ENSEMBLE


def score_table(estimates: Iterable[Estimate]) -> list[str]:
    """Scores as lines of text, one below the other."""
    rows = [("", "score", "95 % interval", "over")]
    for one in estimates:
        interval = f"{one.low:.4f} to {one.high:.4f}" if one.low == one.low else "none"
        value = f"{one.value:.4f}" if one.value == one.value else "none"
        rows.append((one.name, value, interval, one.over))
    first, second, third = (max(len(row[at]) for row in rows) for at in range(3))
    return [
        f"{name:<{first}}  {value:>{second}}  {interval:<{third}}  {over}".rstrip()
        for name, value, interval, over in rows
    ]


def not_scored(scores: dict[str, Any], why: str = "; problems.csv says why") -> list[str]:
    """What of the truth is not in the scores, in a line each."""
    of_all = scores.get(ENSEMBLE, {})
    missing = {name: of_all.get(f"{name}_missing", ()) for name in ("rows", "classes")}
    return [
        f"not scored: {len(names)} {what} of the truth: {', '.join(names[:3])}"
        f"{' …' if len(names) > 3 else ''}{why}"
        for what, names in missing.items()
        if names
    ]
