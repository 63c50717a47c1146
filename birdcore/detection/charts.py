"""Numbers of the page's charts; `page.html` draws them, and style and themes are its CSS."""

from dataclasses import dataclass

import numpy as np

from birdcore.detection.activity import Activity, Ints

WIDTH = 900
"""Pixels that bars fill where there are enough of them."""
NARROWEST, WIDEST = 3, 30
"""Pixels of a bar with the gap behind it."""
GAP = 5
"""Pixels where periods without audio are left out."""
LABEL = 74
"""Pixels that a label needs."""
SPARK = (120, 20)


@dataclass(frozen=True)
class Bar:
    """A period: place and heights in pixels, and what it says."""

    x: float
    width: float
    height: float
    audio_height: float
    text: str


@dataclass(frozen=True)
class DayChart:
    """Detections by period, and below them the hours of audio.

    Attributes:
        periods: What each bar's day or month is called.
        labels: (x, text) of the time axis.
        most, most_audio: What the highest bars stand for.
    """

    width: float
    bars: tuple[Bar, ...]
    periods: tuple[str, ...]
    labels: tuple[tuple[float, str], ...]
    most: int
    most_audio: float


def day_chart(found: Activity, height: float = 150, audio_height: float = 36) -> DayChart:
    """The chart of detections by day, or by month.

    Args:
        found: One period or more.
        height: Pixels of the highest bar of detections.
        audio_height: Pixels of the highest bar of audio.
    """
    step = min(max(WIDTH / len(found.periods), NARROWEST), WIDEST)
    most = max(int(found.detections.max()), 1)
    most_audio = max(float(found.audio_in.max()), 1e-9)
    unit = "D" if found.unit == "day" else "M"
    periods = found.periods.astype(f"datetime64[{unit}]")
    after_gap = np.append(False, np.diff(periods.astype(np.int64)) > 1)
    bars: list[Bar] = []
    labels: list[tuple[float, str]] = []
    x = 0.0
    for n, period in enumerate(periods):
        x += GAP if after_gap[n] else 0
        text = f"{period}: {found.detections[n]:,} detections of {found.species_in[n]} species "
        bars.append(
            Bar(
                x=round(x, 1),
                width=round(step * 0.8, 1),
                height=round(float(found.detections[n]) / most * height, 1),
                audio_height=round(float(found.audio_in[n]) / most_audio * audio_height, 1),
                text=f"{text}in {found.audio_in[n]:.1f} hours of audio",
            )
        )
        if not labels or x >= labels[-1][0] + LABEL:
            labels.append((round(x, 1), str(period)))
        x += step
    return DayChart(x, tuple(bars), tuple(map(str, periods)), tuple(labels), most, most_audio)


def spark(steps: Ints) -> str:
    """The path of a small chart of bars, which is stroked; `SPARK` is its size."""
    width, height = SPARK
    each, most = width / max(len(steps), 1), max(int(steps.max(initial=0)), 1)
    return "".join(
        f"M{(n + 0.5) * each:.0f} {height}v-{max(value / most * height, 1):.0f}"
        for n, value in enumerate(steps.tolist())
        if value
    )


def shaded(counts: Ints) -> list[tuple[int, int]]:
    """Each count, and how strongly it is coloured, in percent of the highest.

    Below 1, the power makes small shares visible.
    """
    share = counts / max(int(counts.max(initial=0)), 1)
    return list(zip(counts.tolist(), np.ceil(share**0.7 * 100).astype(int).tolist(), strict=True))
