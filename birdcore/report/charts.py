"""Charts as inline SVG, coloured by the page's CSS, so that they follow its light and dark themes.

The markup is that of `charts.html`, which escapes what comes from data; here are the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdcore.report.calibration import Bin
from birdcore.report.page import template


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` over `width` pixels, with room for a dot at both ends."""

    low: float
    high: float
    width: int = 240

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(8 + min(max(share, 0.0), 1.0) * (self.width - 16), 1)


def axis_around(values: Sequence[float]) -> Axis:
    """From below the lowest value to 1, in steps of a tenth; .5 to 1 where there are none."""
    lowest = min([*values, 0.9])
    return Axis(low=max(0.0, np.floor(lowest * 10 - 0.2) / 10), high=1.0)


def ticks(axis: Axis) -> Markup:
    """The axis' numbers, for a head of a column of `interval`s."""
    steps = round((axis.high - axis.low) * 10)
    every = 1 if steps <= 5 else 2
    marks = [round(axis.high - step / 10, 1) for step in range(0, steps + 1, every)]
    return _draw("ticks", axis, marks)


def interval(
    axis: Axis, value: float | None, low: float, high: float, hollow: float | None = None
) -> Markup:
    """A dot on its interval; a second value is a hollow dot."""
    return _draw("interval", axis, value, low, high, hollow)


def sparkline(values: Sequence[float], width: int = 96, height: int = 24) -> Markup:
    """A curve without axes, from its highest to its lowest value; nothing for fewer than two."""
    if len(values) < 2:
        return Markup("")
    x = np.linspace(3, width - 3, len(values))
    low, high = min(values), max(values)
    y = height - 3 - (np.asarray(values) - low) / max(high - low, 1e-12) * (height - 6)
    return _draw("sparkline", np.stack([x, y], axis=1).tolist(), width, height)


def reliability(bins: Sequence[Bin]) -> Markup:
    """Share that is true over what was predicted, and below how many there are, in logarithms.

    The more predictions, the larger the dot.
    """
    size, left, gap, below = 300, 44, 34, 64
    most = max([np.log10(b.count + 1) for b in bins], default=1.0)
    drawn = [
        {
            "dot": (left + b.predicted * size, 8 + (1 - b.true) * size),
            "title": f"{b.low:g} to {b.high:g}: {b.count:,} predictions, {b.true:.1%} true",
            "radius": round(2.5 + 0.9 * np.log10(b.count), 1),
            "x": round(left + b.low * size + 2, 1),
            "width": round((b.high - b.low) * size - 4, 1),
            "height": max(1.0, float(np.log10(b.count + 1) / most) * (below - 4)),
        }
        for b in bins
    ]
    return _draw("reliability", drawn, size, left, size + gap + below)


def heat_map(table: NDArray[np.float64], labels: Sequence[str], names: Sequence[str]) -> Markup:
    """A square table (K, K) of shares: a row per true class, a column per class it is taken for.

    The darkest cell is the highest; NaN is left empty. `names`: full names of the classes.
    """
    highest = max(float(np.nanmax(table, initial=0)), 1e-9)
    cells = [
        # Below 1, the power makes small shares visible.
        (x, y, share, round(max(0.0, share / highest) ** 0.7, 2))
        for (x, y), share in zip(np.ndindex(table.shape), table.ravel().tolist(), strict=True)
        if not np.isnan(share)
    ]
    return _draw("heat_map", cells, labels, names, 24, 190, 84)


def arcs(links: Sequence[tuple[int, int, str]], rows: int, row_height: int) -> Markup:
    """Arcs beside a list, from one row to a later one: (from, to, "start" or "teacher")."""
    return _draw("arcs", links, rows, row_height, 92)


def _draw(macro: str, *arguments: object) -> Markup:
    drawn: Markup = getattr(template("charts.html").module, macro)(*arguments)
    return drawn
