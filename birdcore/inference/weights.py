"""Ensembles: how much each member counts, and how members are blended.

Weights are fitted on out-of-fold predictions, which no member has trained on. Non-negative least
squares only needs the triangular factor of the predictions, so they pass by in blocks: memory
does not grow with the rows. A class's own weights are drawn towards those of all classes, since
most classes have too few positives to tell members apart that are as much alike as members are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.optimize import nnls
from scipy.stats import rankdata

Blend = Literal["mean", "power", "rank"]
ROWS_AT_ONCE = 2048
PRIOR_POSITIVES = 10.0
"""Weights of all classes count in each class's fit as much as so many of its positives."""

WEIGHTS_FILE = "weights.json"


class EnsembleWeights(BaseModel):
    """How the members of an ensemble are blended, as `weights.json` says beside other things.

    Attributes:
        blend: See `blend`.
        power: The exponent of blend = "power".
        weights: Of each member, "ROUND/BACKBONE": a number, or one for each class.
    """

    model_config = ConfigDict(frozen=True)

    blend: Blend = "mean"
    power: float = 1.0
    weights: dict[str, float | list[float]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file that the stage `ensemble` publishes."""
        return cls.model_validate_json((folder / WEIGHTS_FILE).read_bytes())

    def as_probabilities(self) -> Self:
        """The same weights for probabilities: a rank is a row's place among others, not one."""
        return self.model_copy(update={"blend": "mean"}) if self.blend == "rank" else self

    def blended(self, members: Mapping[str, NDArray[np.floating]]) -> NDArray[np.floating]:
        """One table (N, C) from those of one or more members (N, C), in the order of `weights`.

        Members of the ensemble may be missing. A class whose whole weight belonged to them counts
        the others alike.
        """
        present = [name for name in self.weights if name in members]
        shares = np.array([self.weights[name] for name in present], np.float64)
        shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)
        return blend(np.stack([members[name] for name in present]), shares, self.blend, self.power)


def nnls_weights(
    predictions: NDArray[np.floating], targets: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Weights (M,) of members, at least 0 and of sum 1, by least squares on the targets.

    `predictions` (M, N, C), `targets` (N, C). Cells in which a member or the target is NaN are
    left out: mark so what was not predicted or is not scored. Where no member helps, all count
    alike. The minimum is that of `scipy.optimize.nnls` on the flattened arrays. Raises
    ValueError on shapes that do not fit, infinite values, and where no cell remains.
    """
    members = len(predictions)
    if predictions.ndim != 3 or predictions.shape[1:] != targets.shape or not members:
        raise ValueError(f"predictions {predictions.shape} do not fit targets {targets.shape}")
    factor = _factor(_blocks(predictions, targets), members + 1)
    if not len(factor):
        raise ValueError("no cell has a target and a prediction of every member")
    return _shares(factor[:, :-1], factor[:, -1], np.full(members, 1 / members))


def nnls_weights_by_class(
    predictions: NDArray[np.floating],
    targets: NDArray[np.floating],
    prior_positives: float = PRIOR_POSITIVES,
) -> NDArray[np.float64]:
    """Weights (M, C) of members in each class, each column at least 0 and of sum 1.

    Least squares on a class's own cells P (n, M) and targets y, with a ridge towards the weights
    v of all classes (`nnls_weights`), scaled by s so that they fit the class as well as they can:

        min |Pw - y|² + k |w - sv|²  over w ≥ 0,   k = prior / positives · tr(PᵀP) / M

    The ridge is as strong as the mean diagonal of PᵀP where the class has `prior_positives`
    positives, and does not depend on how loud its predictions are. 0 is the class's own
    `scipy.optimize.nnls`. Classes without a positive, or in which the weights of all classes fit
    nothing, have those. Shapes and errors are those of `nnls_weights`, and ValueError on a prior
    that is negative.
    """
    if not prior_positives >= 0:
        raise ValueError(f"prior_positives must be at least 0, not {prior_positives:g}")
    overall = nnls_weights(predictions, targets)
    members, _, classes = predictions.shape
    weights = np.tile(overall[:, None], classes)
    for at in range(classes):
        own = slice(at, at + 1)
        factor = _factor(_blocks(predictions[:, :, own], targets[:, own]), members + 1)
        predicted, expected = factor[:, :-1], factor[:, -1]
        counted = ~np.isnan(predictions[:, :, at]).any(axis=0)
        positives = np.nansum(targets[counted, at])
        if not positives > 0 or (fit := float((predicted @ overall) @ expected)) <= 0:
            continue
        scale = fit / float(np.sum((predicted @ overall) ** 2))
        ridge = np.sqrt(prior_positives / positives * np.sum(predicted**2) / members)
        weights[:, at] = _shares(
            np.concatenate([predicted, ridge * np.eye(members)]),
            np.concatenate([expected, ridge * scale * overall]),
            overall,
        )
    return weights


def weights_of_taxa(
    said: Mapping[str, Mapping[str, float]], members: Sequence[str], taxa: Sequence[str]
) -> NDArray[np.float64]:
    """Weights (M, C) that a recipe gives to the members for some taxa; NaN for other classes.

    Args:
        said: By taxon and round; a round that is not named has 0, and backbones of one share alike.
        members: "ROUND/BACKBONE" (M,).
        taxa: Of each class (C,).
    """
    rounds = [member.partition("/")[0] for member in members]
    weights = np.full((len(members), len(taxa)), np.nan)
    for taxon, of_round in said.items():
        shares = np.array([of_round.get(name, 0.0) / rounds.count(name) for name in rounds])
        weights[:, np.array(taxa) == taxon] = (shares / shares.sum())[:, None]
    return weights


def blend(
    predictions: NDArray[np.floating],
    weights: ArrayLike,
    how: Blend = "mean",
    power: float = 2.0,
) -> NDArray[np.floating]:
    """One table (N, C) from those of all members (M, N, C).

    `weights` are (M,), or (M, C) where each class has its own; they are scaled to sum 1. "mean":
    weighted mean. "power": (Σ w pᵖ)^(1/p) with p = `power`, the more for the surest member the
    larger. "rank": weighted mean of the ranks within each class, ties averaged, 0 for the lowest
    row and 1 for the highest; for members with unlike scales. Raises ValueError on weights that
    do not fit or, in any class, sum to 0, on NaN, and on a power that is not positive.
    """
    shares = np.asarray(weights, np.float64)
    if predictions.ndim != 3 or shares.shape not in (
        predictions.shape[:1],
        predictions.shape[::2],
    ):
        raise ValueError(f"weights {shares.shape} do not fit predictions {predictions.shape}")
    totals = shares.sum(axis=0)
    if not ((shares >= 0).all() and (totals > 0).all() and (totals < np.inf).all()):
        raise ValueError(f"weights must be at least 0 and one above it: {shares.tolist()}")
    if not np.isfinite(predictions).all():
        raise ValueError("predictions are NaN or infinite")
    if how not in get_args(Blend):
        raise ValueError(f"members blend by {', '.join(get_args(Blend))}, not {how!r}")
    if how == "power" and not power > 0:
        raise ValueError(f"power must be positive, not {power:g}")
    blended = np.zeros_like(predictions[0])
    for share, member in zip((shares / totals).astype(blended.dtype), predictions, strict=True):
        if how == "rank":
            blended += share * ranks(member)
        else:
            blended += share * (member**power if how == "power" else member)
    return np.asarray(blended ** (1 / power)) if how == "power" else blended


def ranks(table: NDArray[np.floating]) -> NDArray[np.floating]:
    """Ranks within each column (N, C), ties averaged, from 0 to 1; .5 where there is one row."""
    if len(table) == 1:
        return np.full_like(table, 0.5)
    return ((rankdata(table, axis=0) - 1) / (len(table) - 1)).astype(table.dtype)


def _blocks(
    predictions: NDArray[np.floating], targets: NDArray[np.floating]
) -> Iterator[NDArray[np.float64]]:
    """Cells (n, M + 1) that can be counted: what each member says, and the target."""
    for first in range(0, targets.shape[0], ROWS_AT_ONCE):
        block = slice(first, first + ROWS_AT_ONCE)
        columns = [member[block].ravel() for member in predictions] + [targets[block].ravel()]
        cells = np.stack(columns, axis=1).astype(np.float64)
        cells = cells[~np.isnan(cells).any(axis=1)]
        if np.isinf(cells).any():
            raise ValueError("predictions or targets are infinite")
        yield cells


def _factor(blocks: Iterable[NDArray[np.float64]], columns: int) -> NDArray[np.float64]:
    """R of the QR decomposition of all blocks, one below the other."""
    factor = np.zeros((0, columns))
    for cells in blocks:
        factor = np.asarray(np.linalg.qr(np.concatenate([factor, cells]), mode="r"))
    return factor


def _shares(
    predicted: NDArray[np.float64], expected: NDArray[np.float64], otherwise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The minimum over weights of at least 0, scaled to sum 1; `otherwise`, where it is 0."""
    weights = np.asarray(nnls(predicted, expected)[0])
    total = weights.sum()
    return weights / total if total > 0 else otherwise
