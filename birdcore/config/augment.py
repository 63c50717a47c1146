"""The recipe's augmentations of crops.

All of them are off or mild unless a recipe says otherwise; `birdcore.training.batch` applies them
and documents their order.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from birdcore.config.section import Positive, Seconds, Section, Share


class Mixup(Section):
    """Weighted sums of two clips (Zhang et al. 2018); in the ladder here a recipe with it had .714
    where one without it had .724."""

    probability: Share = 0.5
    alpha: Positive = 0.5
    weight: Share | None = None
    """A constant weight instead of one from Beta(alpha, alpha) (2nd place: .5)."""
    labels: Literal["soft", "max", "add", "losses"] = "max"
    """Labels of a mix: weighted mean, maximum (8th place) or sum up to 1 (2nd place); or both parts
    keep theirs, and their losses are weighted (4th place)."""


class Sumix(Section):
    """Sums of two clips, each at a gain of its own (13th place 2025)."""

    probability: Share = 0.0
    gain_db: Seconds = 6.0


class Mask(Section):
    """SpecAugment (Park et al. 2019), or XY masking (HMS 2024): masks of up to so many bins and
    seconds. Here a net from scratch memorised its clips in a minute without it and background."""

    frequency_masks: Annotated[int, Field(ge=0)] = 1
    frequency_bins: Annotated[int, Field(ge=0)] = 16
    time_masks: Annotated[int, Field(ge=0)] = 1
    time_s: Seconds = 0.5


class Background(Section):
    """Noise of unlabelled soundscapes laid under labelled clips."""

    renamed: ClassVar[dict[str, str]] = {"of": "source"}

    probability: Share = 0.0
    source: Literal["floors", "quiet", "soundscapes"] = "floors"
    """Steady noise of soundscapes, their quiet segments, or any of their segments.

    A class in the background counts as absent: a teacher trained on whole soundscapes learns to
    ignore the birds that it is to label.
    """
    annotated: bool = False
    """Take it from recordings that somebody annotated as well, such as soundscapes with a verdict
    of `birdflow review`: but for those that are held out, and for quiet segments in which somebody
    hears something."""
    snr_db: tuple[float, float] = (0.0, 20.0)

    @property
    def of_annotated(self) -> bool:
        """Whether there is any of annotated recordings."""
        return self.annotated and self.probability > 0


class Filter(Section):
    """A random gain over mel bins (FilterAugment of linear type, Nam et al. 2022); with 6 dB no
    gain was seen here."""

    probability: Share = 0.0
    limit_db: Seconds = 6.0
    points: Annotated[int, Field(ge=2)] = 4


class Band(Section):
    """A random band-pass (HMS 2024; -.021 here): everything outside a random band of at
    least `min_share` of the bins is attenuated."""

    probability: Share = 0.0
    attenuation_db: Seconds = 20.0
    min_share: Share = 0.5


class Shift(Section):
    """Rolled in time (HMS 2024: up to 5 s; no gain here): up to `max_s` sooner or later, a
    crop's length at most, and what leaves it at one end enters at the other."""

    probability: Share = 0.0
    max_s: Seconds = 1.0


class Padding(Section):
    """A stretch of a crop is kept; the rest is silence, or the recording's steady noise."""

    probability: Share = 0.0
    min_share: Share = 0.5
    fill: Literal["silence", "floor"] = "silence"


class Noise(Section):
    """Coloured noise, whose density falls as 1 / f^exponent: 0 is white, 1 pink, 2 brown."""

    probability: Share = 0.0
    exponent: tuple[float, float] = (0.0, 2.0)
    snr_db: tuple[float, float] = (3.0, 30.0)
