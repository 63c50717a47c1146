"""Ensembles: how much each member counts, and how members are blended.

Weights are fitted on out-of-fold predictions, which no member has trained on. Non-negative least
squares only needs the triangular factor of the predictions, so they pass by in blocks: memory
does not grow with the rows.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.stats import rankdata

Blend = Literal["mean", "rank", "power"]
ROWS_AT_ONCE = 2048


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
    factor = np.zeros((0, members + 1))
    for first in range(0, targets.shape[0], ROWS_AT_ONCE):
        block = slice(first, first + ROWS_AT_ONCE)
        columns = [member[block].ravel() for member in predictions] + [targets[block].ravel()]
        cells = np.stack(columns, axis=1).astype(np.float64)
        cells = cells[~np.isnan(cells).any(axis=1)]
        if np.isinf(cells).any():
            raise ValueError("predictions or targets are infinite")
        factor = np.asarray(np.linalg.qr(np.concatenate([factor, cells]), mode="r"))
    if not len(factor):
        raise ValueError("no cell has a target and a prediction of every member")
    weights = np.asarray(nnls(factor[:, :-1], factor[:, -1])[0])
    total = weights.sum()
    return weights / total if total > 0 else np.full(members, 1 / members)


def blend(
    predictions: NDArray[np.floating],
    weights: ArrayLike,
    how: Blend = "mean",
    power: float = 2.0,
) -> NDArray[np.floating]:
    """One table (N, C) from those of all members (M, N, C), weights (M,) scaled to sum 1.

    "mean": weighted mean. "rank": weighted mean of the ranks within each class, ties averaged,
    0 for the lowest row and 1 for the highest; for members with unlike scales. "power":
    (Σ w pᵖ)^(1/p) with p = `power`, the more for the surest member the larger. Raises
    ValueError on weights that do not fit or sum to 0, on NaN, and on a power that is not
    positive.
    """
    shares = np.asarray(weights, np.float64)
    if predictions.ndim != 3 or shares.shape != predictions.shape[:1]:
        raise ValueError(f"weights {shares.shape} do not fit predictions {predictions.shape}")
    if not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise ValueError(f"weights must be at least 0 and one above it: {shares.tolist()}")
    if not np.isfinite(predictions).all():
        raise ValueError("predictions are NaN or infinite")
    if how not in get_args(Blend):
        raise ValueError(f"members blend by {', '.join(get_args(Blend))}, not {how!r}")
    if how == "power" and not power > 0:
        raise ValueError(f"power must be positive, not {power:g}")
    blended = np.zeros_like(predictions[0])
    for share, member in zip((shares / shares.sum()).tolist(), predictions, strict=True):
        if how == "rank":
            blended += share * _ranks(member)
        else:
            blended += share * (member**power if how == "power" else member)
    return np.asarray(blended ** (1 / power)) if how == "power" else blended


def _ranks(table: NDArray[np.floating]) -> NDArray[np.floating]:
    if len(table) == 1:
        return np.full_like(table, 0.5)
    ranks = (rankdata(table, axis=0) - 1) / (len(table) - 1)
    return ranks.astype(table.dtype)
