"""What is done with rows: smoothing, the blend of members, and what comes after it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from birdcore.export.kit.base import Floats

NEIGHBOURS = (0.1, 0.2, 0.4, 0.2, 0.1)


def smooth(rows: Floats, predict: Mapping[str, Any]) -> Floats:
    """All smoothing of a recording's rows (S, K), in the order of a birdflow recipe."""
    if sigma := predict["gaussian"]:
        reach = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
        rows = _weighted(rows, np.exp(-0.5 * (reach / sigma) ** 2))
    if shift := predict["delta_shift"]:
        rows = _weighted(rows, np.array([shift / 2, 0.0, 1 - shift, 0.0, shift / 2]))
    if predict["neighbours"]:
        rows = _weighted(rows, np.array(NEIGHBOURS))
    share = predict["file_maximum"]
    return np.asarray((1 - share) * rows + share * rows.max(axis=0, keepdims=True))


def _weighted(rows: Floats, kernel: Floats) -> Floats:
    reach = len(kernel) // 2
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
    return np.asarray(windows @ (kernel / kernel.sum()))


def ranks(table: Floats) -> Floats:
    """Ranks within each column (N, K), ties averaged, from 0 to 1; .5 where there is one row."""
    if len(table) == 1:
        return np.full_like(table, 0.5)
    columns = []
    for column in table.T:
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        columns.append((np.cumsum(counts) - (counts + 1) / 2)[inverse] / (len(table) - 1))
    return np.stack(columns, axis=1)


def blend(members: Mapping[str, Floats], config: Mapping[str, Any]) -> Floats:
    """One table (N, K) from those of all members."""
    how, power = config["blend"], config["power"]
    shares = np.array([config["weights"][name] for name in members], np.float64)
    # A class whose whole weight belonged to members that are not here counts the others alike.
    shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)
    shares = shares / shares.sum(axis=0)
    total = 0.0
    for share, table in zip(shares, members.values(), strict=True):
        total = total + share * (
            ranks(table) if how == "rank" else table**power if how == "power" else table
        )
    return np.asarray(total ** (1 / power) if how == "power" else total)


def after_prediction(
    rows: Floats, counts: Sequence[int], operations: Mapping[str, Any] | None
) -> Floats:
    """What a birdflow recipe does with the blend (N, K) of recordings of so many rows each."""
    if operations is None:
        return rows
    if (temperature := operations["temperature"]) != 1:
        rows = np.minimum(rows, 1.0)  # what weights and kernels sum to is at times a little more
        for_it, against = rows ** (1 / temperature), (1 - rows) ** (1 / temperature)
        rows = for_it / (for_it + against)
    rows = np.minimum(rows, operations["cap"])
    if (most := operations["max_sum"]) is not None:
        rows = rows * (most / np.maximum(rows.sum(axis=1, keepdims=True), most))
    for mixing in operations["mixings"]:
        before, rows, share = rows, rows.copy(), mixing["share"]
        for group in mixing["groups"]:
            mean = before[:, group].mean(axis=1, keepdims=True)
            rows[:, group] = (1 - share) * before[:, group] + share * mean
    parts = [part.copy() for part in np.split(rows, np.cumsum(counts)[:-1])]
    for part in parts:
        for smoothing in operations["smoothings"]:
            columns = smoothing["columns"]
            part[:, columns] = _weighted(part[:, columns], np.array(smoothing["weights"]))
        if power := operations["times_file_maximum"]:
            part *= part.max(axis=0, keepdims=True) ** power
    return np.concatenate(parts)
