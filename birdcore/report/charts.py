"""Charts as inline SVG, coloured by the page's CSS, so that they follow its light and dark themes.

Each returns markup in which what comes from data is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdcore.report.calibration import Bin

NOTHING = Markup("")


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
    texts = Markup("").join(
        Markup('<text x="{}" y="12" text-anchor="middle">{}</text>').format(axis.at(v), f"{v:g}")
        for v in marks
    )
    return Markup(
        '<svg class="axis" width="{0}" height="16" viewBox="0 0 {0} 16">{1}</svg>'
    ).format(axis.width, texts)


def interval(
    axis: Axis, value: float | None, low: float, high: float, hollow: float | None = None
) -> Markup:
    """A dot on its interval; a second value is a hollow dot."""
    parts = [Markup('<line class="rule" x1="8" x2="{}" y1="12" y2="12"/>').format(axis.width - 8)]
    if value is not None:
        ends = Markup('<line class="span" x1="{}" x2="{}" y1="12" y2="12"/>')
        parts.append(ends.format(axis.at(low), axis.at(high)))
    if hollow is not None:
        parts.append(
            Markup('<circle class="hollow" cx="{}" cy="12" r="4"/>').format(axis.at(hollow))
        )
    if value is not None:
        parts.append(Markup('<circle class="dot" cx="{}" cy="12" r="4.5"/>').format(axis.at(value)))
    frame = '<svg width="{0}" height="24" viewBox="0 0 {0} 24" aria-hidden="true">{1}</svg>'
    return Markup(frame).format(axis.width, Markup("").join(parts))


def sparkline(values: Sequence[float], width: int = 96, height: int = 24) -> Markup:
    """A curve without axes, from its highest to its lowest value; nothing for fewer than two."""
    if len(values) < 2:
        return NOTHING
    x = np.linspace(3, width - 3, len(values))
    low, high = min(values), max(values)
    y = height - 3 - (np.asarray(values) - low) / max(high - low, 1e-12) * (height - 6)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return Markup(
        '<svg width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true">'
        '<polyline class="curve" points="{2}"/>'
        '<circle class="dot" cx="{3}" cy="{4}" r="2.5"/></svg>'
    ).format(width, height, points, round(float(x[-1]), 1), round(float(y[-1]), 1))


def reliability(bins: Sequence[Bin]) -> Markup:
    """Share that is true over what was predicted, and below how many there are, in logarithms.

    The more predictions, the larger the dot.
    """
    size, left, gap, below = 300, 44, 34, 64
    parts = [
        Markup('<rect class="frame" x="{}" y="8" width="{}" height="{}"/>').format(
            left, size, size
        ),
        Markup('<line class="ideal" x1="{}" y1="{}" x2="{}" y2="8"/>').format(
            left, 8 + size, left + size
        ),
    ]
    label = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(label.format(left - 6, 12 + (1 - share) * size, "end", f"{share:g}"))
        parts.append(label.format(left + share * size, size + 24, "middle", f"{share:g}"))
    dots = [(left + b.predicted * size, 8 + (1 - b.true) * size) for b in bins]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    parts.append(Markup('<polyline class="curve" points="{}"/>').format(line))
    top, bottom = size + gap, size + gap + below
    most = max([np.log10(b.count + 1) for b in bins], default=1.0)
    for one, (x, y) in zip(bins, dots, strict=True):
        title = f"{one.low:g} to {one.high:g}: {one.count:,} predictions, {one.true:.1%} true"
        height = max(1.0, float(np.log10(one.count + 1) / most) * (below - 4))
        parts.append(
            Markup(
                '<g><title>{}</title><circle class="dot" cx="{}" cy="{}" r="{}"/>'
                '<rect class="bar" x="{}" y="{}" width="{}" height="{}"/></g>'
            ).format(
                title, round(x, 1), round(y, 1), round(2.5 + 0.9 * np.log10(one.count), 1),
                round(left + one.low * size + 2, 1),
                round(bottom - height, 1), round((one.high - one.low) * size - 4, 1),
                round(height, 1),
            )
        )  # fmt: skip
    parts.append(
        Markup('<line class="rule" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            left, left + size, bottom, bottom
        )
    )
    parts.append(label.format(left - 6, top + below / 2 + 4, "end", "count"))
    frame = '<svg class="reliability" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return Markup(frame).format(
        left + size + 12, bottom + 6, "Reliability diagram", Markup("").join(parts)
    )


def heat_map(table: NDArray[np.float64], labels: Sequence[str], names: Sequence[str]) -> Markup:
    """A square table (K, K) of shares: a row per true class, a column per class it is taken for.

    The darkest cell is the highest; NaN is left empty. `names`: full names of the classes.
    """
    cell, left, top = 24, 190, 84
    size = cell * len(labels)
    highest = max(float(np.nanmax(table, initial=0)), 1e-9)
    parts = []
    for at, label in enumerate(labels):
        middle = at * cell + cell / 2 + 4
        name = names[at] if len(names[at]) <= 28 else f"{names[at][:27]}…"
        row = Markup('<text x="{}" y="{}" text-anchor="end">{}</text>')
        parts.append(row.format(left - 6, top + middle, name))
        column = Markup('<text transform="translate({} {}) rotate(-60)">{}</text>')
        parts.append(column.format(left + middle, top - 6, label))
    for x, y in np.ndindex(table.shape):
        if np.isnan(table[x, y]):
            continue
        kind = "own" if x == y else "other"
        title = f"{names[x]} present: {names[y]} gets {table[x, y]:.3f} on average"
        parts.append(
            Markup(
                '<rect class="{}" x="{}" y="{}" width="{w}" height="{w}" '
                'style="fill-opacity:{opacity}"><title>{title}</title></rect>'
            ).format(
                kind, left + y * cell + 1, top + x * cell + 1, w=cell - 2,
                opacity=round(max(0.0, float(table[x, y]) / highest) ** 0.7, 2), title=title,
            )
        )  # fmt: skip
    frame = (
        '<svg class="heat" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" '
        'aria-label="{2}">{3}</svg>'
    )
    return Markup(frame).format(
        left + size + 40, top + size + 4, "Confusion of species", Markup("").join(parts)
    )


def arcs(links: Sequence[tuple[int, int, str]], rows: int, row_height: int) -> Markup:
    """Arcs beside a list, from one row to a later one: (from, to, "start" or "teacher")."""
    width, parts = 92, []
    for a, b, kind in links:
        x = width - 10
        y1, y2 = ((row + 0.5) * row_height for row in (a, b))
        bend = min(70.0, 22 + 14 * (b - a) + (10 if kind == "teacher" else 0))
        parts.append(
            Markup('<path class="{}" d="M{x} {y1} C{c} {y1} {c} {y2} {x} {y2}"/>').format(
                kind, x=x, y1=y1, y2=y2, c=x - bend * 4 / 3
            )
        )
    parts += [
        Markup('<circle class="dot" cx="{}" cy="{}" r="5"/>').format(
            width - 10, (row + 0.5) * row_height
        )
        for row in range(rows)
    ]
    frame = (
        '<svg class="arcs" width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true">'
        "{2}</svg>"
    )
    return Markup(frame).format(width, rows * row_height, Markup("").join(parts))
