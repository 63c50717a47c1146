"""Which labelled recordings validate together.

Recordings of one author (or, where unknown, each recording) have one fold, and species are spread
evenly. A species whose recordings are all of one author or in one fold could only be learnt or
validated, never both: it trains everywhere and is not scored.
"""

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

EVERYWHERE = -1
"""The fold of what trains in every fold and validates in none."""


def soundscape_fold(name: str, count: int) -> int:
    """The fold of an unlabelled recording, by its name alone: a new one moves no other.

    Example:
        >>> soundscape_fold("train_soundscapes/H02_20230420_074000.ogg", 5) in range(5)
        True
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count


@dataclass(frozen=True)
class Folds:
    """`of`: each recording's fold (0 to count - 1, or -1). `note`: what is not as it should be."""

    of: pd.Series
    note: str = ""


def assign_folds(recordings: pd.DataFrame, count: int, seed: int) -> Folds:
    """Assign recordings to folds.

    Authors stay together where that leaves every fold something to validate; else each recording is
    by itself, and where these are too few as well, some folds or all stay empty: what they would
    hold out trains everywhere.

    Args:
        recordings: A row each, with columns recording, author and primary_label.
        count: How many folds.
        seed: Decides which group gets which fold.

    Returns:
        A fold (0 to count - 1, or EVERYWHERE) for each row, under the table's index.
    """
    author = recordings["author"].str.strip().str.casefold()
    by_author = author.where(author != "", recordings["recording"])
    folds = _spread(recordings["primary_label"], by_author, count, seed)
    if not _empty(folds, count):
        return Folds(folds)
    authors = by_author.nunique()
    folds = _spread(recordings["primary_label"], recordings["recording"], count, seed)
    empty = _empty(folds, count)
    if not empty:
        return Folds(
            folds,
            f"by recording, since the authors ({authors}) do not fill {count} folds: a model is "
            "validated on authors that it has heard, and its score says too much",
        )
    if len(empty) < count:
        return Folds(
            folds, f"too few recordings a species: {len(empty)} of {count} folds are empty"
        )
    return Folds(folds, "one recording a species: all train everywhere, and nothing is validated")


def _empty(folds: pd.Series, count: int) -> set[int]:
    return set(range(count)) - set(folds)


def _spread(label: pd.Series, group: pd.Series, count: int, seed: int) -> pd.Series:
    """Folds in which groups stay together and labels are spread evenly; some may be empty."""
    # Imported here: it takes more than a second, and only this function needs it.
    from sklearn.model_selection import StratifiedGroupKFold

    folds = pd.Series(EVERYWHERE, label.index, dtype="int64")
    split = group.groupby(label).transform("nunique") > 1
    shared, groups = label[split], group[split]
    if shared.empty:
        return folds
    values = np.full(len(shared), EVERYWHERE)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Species with fewer recordings than folds are usual here, and are absent from some folds.
        warnings.filterwarnings("ignore", message="The least populated class")
        if shared.value_counts().max() < count or groups.nunique() < count:
            values = _by_group(groups, count, seed)
        else:
            for fold, (_, held_out) in enumerate(splitter.split(shared, shared, groups)):
                values[held_out] = fold
    folds[split] = values
    alone = folds.groupby(label).transform("nunique") == 1
    folds[alone] = EVERYWHERE
    return folds


def _by_group(group: pd.Series, count: int, seed: int) -> np.ndarray:
    """Folds by group alone, where no species has as many recordings as there are folds."""
    codes, names = pd.factorize(group)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.asarray(order[codes] % count)
