"""Which detections a person listens to first: verdicts on some of them are worth more.

Uncertain ones teach a model most (uncertainty sampling, Lewis and Gale 1994); the surest of rare
classes say which classes are there at all; as many of each band of confidence, at random within,
say how precise the detections are. Species take turns, so that a common one does not fill the list.
"""

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.detection.choice import balanced
from birdcore.detection.verdicts import Key, detection_key
from birdcore.text import from_spreadsheet_cell, spreadsheet_cell

Order: TypeAlias = Literal["uncertain", "rare", "balanced"]


@dataclass(frozen=True)
class Clip:
    """A detection to listen to.

    Attributes:
        file: The recording, as the detections name it.
        start_s, end_s: Seconds in it.
        code: The class, with its two names.
        confidence: The model's own.
    """

    file: str
    start_s: float
    end_s: float
    code: str
    scientific_name: str
    common_name: str
    confidence: float

    @property
    def key(self) -> Key:
        """What tells it from others, also after it was in a table."""
        return clip_key(self.file, self.code, self.start_s, self.end_s)

    @property
    def id(self) -> str:
        """The same as text without the recording's name, for addresses."""
        return hashlib.sha256(repr(self.key).encode()).hexdigest()[:16]


def clip_key(file: str, code: str, start_s: str | float, end_s: str | float) -> Key:
    """A detection's key, with texts as a table gives them back."""
    return detection_key(_as_read(file), _as_read(code), start_s, end_s)


def check_order(name: str) -> Order:
    """The order of this name.

    Raises:
        ValueError: There is none.
    """
    if name in get_args(Order):
        return cast(Order, name)
    raise ValueError(f"--choose is {', '.join(get_args(Order))}, not {name!r}")


def clips_in_order(detections: pd.DataFrame, how: Order, most: int, seed: int) -> list[Clip]:
    """What is listened to: one of each species, then a second one of each, until there are enough.

    Args:
        detections: As `read_detections` gives them.
        how: "uncertain" has confidences near .5 first; "rare" the highest, of rare species before
            others; "balanced" of each species a tenth of confidence in turns, at random within.
        most: Clips at most.
        seed: Of what is random.
    """
    code = np.asarray(detections["class"].cat.codes, np.int64)
    confidence = detections["confidence"].to_numpy(np.float64)
    counts = np.bincount(code, minlength=len(detections["class"].cat.categories))
    first = np.abs(confidence - 0.5) if how == "uncertain" else -confidence
    order = np.lexsort((first, code))  # of equal ones the first
    if how == "balanced":
        names = detections["class"].cat.categories
        by_class = np.split(order, np.cumsum(counts)[:-1])
        each = zip(names, by_class, strict=True)
        order = np.concatenate([_mixed(rows, confidence, str(n), seed) for n, rows in each])
    turn = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    within_turn = first[order] if how == "uncertain" else counts[code[order]]
    turns = np.lexsort((code[order], within_turn, turn))
    return [_clip(detections.iloc[row]) for row in order[turns[:most]].tolist()]


def _mixed(
    rows: NDArray[np.int64], confidence: NDArray[np.float64], name: str, seed: int
) -> NDArray[np.int64]:
    """Rows of a class, bands of confidence in turns."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rows[balanced(confidence[rows], len(rows), generator)]


def _clip(row: "pd.Series[Any]") -> Clip:
    return Clip(
        file=str(row["file"]),
        start_s=float(row["start_s"]),
        end_s=float(row["end_s"]),
        code=str(row["class"]),
        scientific_name=str(row["scientific_name"]),
        common_name=str(row["common_name"]),
        confidence=float(row["confidence"]),
    )


def _as_read(text: str) -> str:
    return from_spreadsheet_cell(str(spreadsheet_cell(text))).strip()
