"""Stage `folds`: which labelled recordings validate together.

Recordings of one author (or, where unknown, each recording) have one fold, and species are spread
evenly. A species whose recordings are all of one author or in one fold could only be learnt or
validated, never both: it trains everywhere (fold -1) and is not scored. Publishes `folds.parquet`.
"""

import hashlib
import warnings

import numpy as np
import pandas as pd

from birdcore.artifact import Facts, Ref, Step
from birdcore.catalog.catalog import read_recordings
from birdcore.store import Job

VERSION = 1
EVERYWHERE = -1


def step(catalog: Ref, count: int, seed: int) -> Step:
    return Step("folds", VERSION, "folds", {"count": count, "seed": seed}, {"catalog": (catalog,)})


def run(job: Job) -> Facts:
    recordings = read_recordings(job.input("catalog"))
    usable = recordings[recordings["usable"]]
    folds = assign_folds(usable, job.config["count"], job.config["seed"])
    folds.rename("fold").reset_index().to_parquet(job.folder / "folds.parquet", index=False)
    scored = usable["primary_label"][folds != EVERYWHERE].nunique()
    sizes = folds.value_counts()
    return {
        "recordings": len(folds),
        "train_everywhere": int(sizes.get(EVERYWHERE, 0)),
        "species_scored": int(scored),
        "fold_sizes": [int(sizes.get(i, 0)) for i in range(job.config["count"])],
    }


def soundscape_fold(name: str, count: int) -> int:
    """The fold of an unlabelled recording, by its name alone: a new one moves no other."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count


def assign_folds(recordings: pd.DataFrame, count: int, seed: int) -> pd.Series:
    """Fold of each recording (0 to count - 1, or -1), indexed as the given table.

    Needs columns recording, author and primary_label. Raises ValueError where there are fewer
    groups than folds, or a fold has nothing to validate.
    """
    # Here and not above: it takes more than a second, and `birdflow plan` has no need of it.
    from sklearn.model_selection import StratifiedGroupKFold

    author = recordings["author"].str.strip().str.casefold()
    group = author.where(author != "", recordings["recording"])
    folds = pd.Series(EVERYWHERE, recordings.index, dtype="int64")
    groups_of_species = group.groupby(recordings["primary_label"]).transform("nunique")
    split = groups_of_species > 1
    if group[split].nunique() < count:
        raise ValueError(
            f"folds.count = {count}, but the recordings come from {group[split].nunique()} "
            "authors or places only: set it lower"
        )
    label, group = recordings["primary_label"][split], group[split]
    values = np.full(len(label), EVERYWHERE)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Species with fewer recordings than folds are usual here, and are absent from some folds.
        warnings.filterwarnings("ignore", message="The least populated class")
        if label.value_counts().max() < count:
            values = _by_group(group, count, seed)
        else:
            for fold, (_, held_out) in enumerate(splitter.split(label, label, group)):
                values[held_out] = fold
    folds[split] = values
    alone = folds.groupby(recordings["primary_label"]).transform("nunique") == 1
    folds[alone] = EVERYWHERE
    if empty := set(range(count)) - set(folds):
        raise ValueError(
            f"folds.count = {count}, but fold {min(empty)} would have nothing to validate: "
            "set it lower"
        )
    return folds


def _by_group(group: pd.Series, count: int, seed: int) -> np.ndarray:
    """Folds by group alone, where no species has as many recordings as there are folds."""
    codes, names = pd.factorize(group)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.asarray(order[codes] % count)
