"""What the models of an ensemble predict for recordings that none of them was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from birdcore.audio.channels import file_of
from birdcore.features.columns import stacked
from birdcore.inference.ensemble import PARTS, Table, Truth, read_members
from birdcore.inference.spans import SPAN, start_of

HeldOutKind: TypeAlias = Literal["all", "annotated", "clips"]


def groups_of(names: Sequence[str]) -> NDArray[np.intp]:
    """Which of held-out recordings, windows and channels (N,) are of one file, numbered from 0.

    Example:
        >>> groups_of(["a.ogg#t=0,5", "a.ogg#t=5,10", "b.ogg"])
        array([0, 0, 1])
    """
    number: dict[str, int] = {}
    files = (file_of(start_of(name)[0]) for name in names)
    return np.array([number.setdefault(file, len(number)) for file in files], np.intp)


def held_out_names(names: Sequence[str], kind: HeldOutKind) -> tuple[list[str], str | None]:
    """Those of one kind, windows of annotated recordings or clips, and a note where all are taken
    since there are none of it."""
    if kind == "all" or not names:
        return list(names), None
    of_kind = [name for name in names if (SPAN in name) == (kind == "annotated")]
    if of_kind:
        return of_kind, None
    what = "windows of annotated recordings" if kind == "annotated" else "clips"
    return list(names), f"no {what} are held out from all members: all that is, counts"


@dataclass(frozen=True)
class HeldOut:
    """Recordings and windows that no model of an ensemble was trained on.

    Attributes:
        recordings: Their names (N,), those of windows as `span_name` writes them.
        classes: The names of the classes (K,).
        truth: Whether a recording has a class (N, K).
        members: What each member predicts for them (N, K).
        folds: The fold that each was held out with (N,).
    """

    recordings: tuple[str, ...]
    classes: tuple[str, ...]
    truth: Truth
    members: dict[str, Table]
    folds: NDArray[np.intp]

    @property
    def parts(self) -> NDArray[np.intp]:
        """Which recordings to leave out together (N,): folds, or fifths where there is one fold."""
        if len(np.unique(self.folds)) > 1:
            return self.folds
        return groups_of(self.recordings) % PARTS


def read_held_out(rounds: Mapping[str, Sequence[Path]]) -> HeldOut | None:
    """What is held out from all members of an ensemble; None where nothing is.

    Args:
        rounds: The folders of the models of each round.
    """
    members, classes = read_members(rounds)
    common = sorted(set.intersection(*(set(table.index) for table in members.values())))
    if not common:
        return None
    first = next(iter(members.values()))
    tables: dict[str, Table] = {
        name: stacked(table.loc[common, "probabilities"], np.float64)
        for name, table in members.items()
    }
    truth = stacked(first.loc[common, "targets"], np.float32) >= 1
    folds = first.loc[common, "model"].to_numpy(np.intp)
    return HeldOut(tuple(common), classes, truth, tables, folds)
