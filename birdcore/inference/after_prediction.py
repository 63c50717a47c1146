"""What is done with the ensemble's probabilities before they are a submission.

The way of a table: members are smoothed by [predict] → blended → here → the submission's rows.
`operations_for` turns the recipe's [after_prediction] and the catalogue's species into
`Operations`, in which classes are columns: models, bundles and their script need no taxonomy.
`after_prediction` computes them, rows (N, C) of probabilities in, the same shape out:

    each row            temperature, cap, largest sum, shares of means over groups of classes
                        (pooled labels, then genus, then taxon)
    each recording      smoothing over time by taxon, then times the class's maximum

`birdflow detect` and thresholds from held-out recordings take probabilities of before, as they do
before smoothing.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from birdcore.config import AfterPrediction
from birdcore.inference.smooth import weighted
from birdcore.sources.taxonomy import Taxonomy, check_classes, columns_of, columns_of_labels

Table = NDArray[np.floating]


class Mixing(BaseModel):
    """Each class of a group gets this share of the group's mean.

    Attributes:
        share: From 0 to 1.
        groups: Columns of each group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    groups: tuple[tuple[int, ...], ...]


class Smoothing(BaseModel):
    """Weights of a row and its neighbours, an odd number, for some columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: tuple[float, ...]
    columns: tuple[int, ...]


class Operations(BaseModel):
    """[after_prediction] for certain classes; the settings have the recipe's names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = 1.0
    cap: float = 1.0
    max_sum: float | None = None
    mixings: tuple[Mixing, ...] = ()
    smoothings: tuple[Smoothing, ...] = ()
    times_file_maximum: float = 0.0


def operations_for(settings: AfterPrediction, species: pd.DataFrame) -> Operations | None:
    """The settings for these classes; None where all are off.

    Args:
        settings: The recipe's [after_prediction].
        species: The catalogue's, a row for each column of the predictions.

    Raises:
        ValueError: A taxon or label has no class, or a setting has no effect on these classes.
    """
    if settings == AfterPrediction():
        return None
    taxonomy = Taxonomy.of(species)
    check_classes(taxonomy, settings)
    pooled = columns_of_labels(settings.pooled, taxonomy.labels)
    if settings.pool_same_taxon:
        pooled = list(columns_of(taxonomy.taxon_ids).values())
    taxa = columns_of(taxonomy.taxa)
    mixings = (
        _mixing(1.0, pooled),
        _mixing(settings.genus_share, columns_of(taxonomy.genera).values()),
        _mixing(settings.class_share, taxa.values()),
    )
    return Operations(
        temperature=settings.temperature,
        cap=settings.cap,
        max_sum=settings.max_sum,
        mixings=tuple(mixing for mixing in mixings if mixing.share and mixing.groups),
        smoothings=tuple(
            Smoothing(weights=weights, columns=tuple(taxa[taxon].tolist()))
            for taxon, weights in settings.smooth.items()
        ),
        times_file_maximum=settings.times_file_maximum,
    )


def after_prediction(table: Table, recordings: Sequence[str], operations: Operations) -> Table:
    """All operations, in their order.

    Args:
        table: Probabilities (N, C); rows of a recording are together and in the order of time.
        recordings: The recording of each row (N,).
        operations: What to do.

    Returns:
        (N, C), float64.
    """
    rows = tempered(np.asarray(table, np.float64), operations.temperature)
    rows = capped(rows, operations.cap, operations.max_sum)
    for mixing in operations.mixings:
        rows = mixed(rows, mixing)
    counts = [len(list(names)) for _, names in groupby(recordings)]
    parts = np.split(rows, np.cumsum(counts)[:-1])
    return np.concatenate([_of_recording(part, operations) for part in parts])


def tempered(rows: Table, temperature: float) -> Table:
    """sigmoid(logit(p) / temperature), written so that 0 and 1 stay what they are."""
    if temperature == 1:
        return rows
    rows = np.minimum(rows, 1.0)  # what weights and kernels sum to is at times a little more
    for_it, against = rows ** (1 / temperature), (1 - rows) ** (1 / temperature)
    return np.asarray(for_it / (for_it + against))


def capped(rows: Table, cap: float, max_sum: float | None) -> Table:
    """No probability above `cap`, and no row of a sum above `max_sum`, which scales it down."""
    rows = np.minimum(rows, cap)
    if max_sum is None:
        return rows
    sums = rows.sum(axis=1, keepdims=True)
    return np.asarray(rows * (max_sum / np.maximum(sums, max_sum)))


def mixed(rows: Table, mixing: Mixing) -> Table:
    """Each class of a group with a share of the group's mean; classes in no group stay."""
    found = rows.copy()
    for group in mixing.groups:
        columns = list(group)
        mean = rows[:, columns].mean(axis=1, keepdims=True)
        found[:, columns] = (1 - mixing.share) * rows[:, columns] + mixing.share * mean
    return found


def times_maximum(rows: Table, power: float) -> Table:
    """Rows (S, C) of one recording times each class's maximum in it, raised to a power."""
    return np.asarray(rows * rows.max(axis=0, keepdims=True) ** power) if power else rows


def _of_recording(rows: Table, operations: Operations) -> Table:
    if not len(rows):
        return rows
    smoothed = rows.copy()
    for smoothing in operations.smoothings:
        columns = list(smoothing.columns)
        smoothed[:, columns] = weighted(rows[:, columns], smoothing.weights)
    return times_maximum(smoothed, operations.times_file_maximum)


def _mixing(share: float, groups: Iterable[NDArray[np.intp]]) -> Mixing:
    """Groups of one class are none."""
    several = tuple(tuple(columns.tolist()) for columns in groups if len(columns) > 1)
    return Mixing(share=share, groups=several)
