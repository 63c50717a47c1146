"""Whether the licences of recordings let a model that was trained on them be given away.

A model is treated as a work derived from its recordings. Licences that forbid derivatives (ND), and
recordings whose licence is not known, do not allow it to be passed on. Those that forbid commercial
use (NC) do: what they ask of the receiver is in MODEL_CARD.md. This is a rule of thumb and no legal
advice, so the owner of the models may decide otherwise.
"""

import csv
import re
from collections import Counter
from pathlib import Path

from birdcore.text import from_spreadsheet_cell, plain_text

ATTRIBUTION_FILE = "ATTRIBUTION.csv"
FORBIDS_DERIVATIVES = {"nd", "noderivs", "noderivatives"}
OPEN_LICENCES = {
    "cc", "creativecommons", "creative", "public", "publicdomain", "pddl", "odbl",
    "apache", "mit", "bsd",
}  # fmt: skip
"""Words of which texts of licences that allow giving away have at least one; external teachers have
such of software too."""
SHORT_TERMS = {"by", "nc", "sa", "nd"}
"""A text of these alone is a Creative Commons licence: 2026's table has by-nc-sa."""


def check_licences(run: Path, *, accept: bool) -> dict[str, int]:
    """How many recordings of a run have each licence.

    Args:
        run: A run's results folder, with ATTRIBUTION.csv in it.
        accept: The owner of the models takes the decision: nothing is refused.

    Raises:
        ValueError: A licence forbids giving the models away, or is not known, and `accept` is off.
    """
    path = run / ATTRIBUTION_FILE
    counts: Counter[str] = Counter()
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                counts[from_spreadsheet_cell(row["license"]).strip()] += 1
    if accept:
        return dict(counts)
    if not counts:
        raise ValueError(
            f"{path} lists no recording, so the licences of what the models learned from are not "
            "known: --accept-licences exports them all the same"
        )
    forbidding: Counter[str] = Counter()
    for licence, count in counts.items():
        if reason := reason_to_refuse(licence):
            forbidding[reason] += count
    if forbidding:
        reasons = ", ".join(f"{count} {reason}" for reason, count in forbidding.most_common())
        raise ValueError(
            f"of {counts.total()} recordings that the models were trained on, {reasons} (see "
            f"{path}): --accept-licences exports them all the same"
        )
    return dict(counts)


def reason_to_refuse(licence: str) -> str | None:
    """Why models trained on recordings of a licence are not given away; None where they may be.

    Args:
        licence: Short (cc-by-nc 4.0, by-nc-sa), a URL, or in words.

    Example:
        >>> reason_to_refuse("cc-by-nc-nd 4.0")
        'forbid derivatives (ND)'
        >>> reason_to_refuse("//creativecommons.org/licenses/by-nc-sa/4.0/") is None
        True
    """
    words = set(re.findall(r"[a-z]+", licence.lower()))
    if not words:
        return "have no licence"
    if words & FORBIDS_DERIVATIVES:
        return "forbid derivatives (ND)"
    if not words & OPEN_LICENCES and not {"by"} <= words <= SHORT_TERMS:
        return f"have the unknown licence '{plain_text(licence)[:60]}'"
    return None
