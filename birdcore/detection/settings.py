"""What is asked of a model, and how that reads for the classes that the model has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from birdcore.detection.events import EventSettings
from birdcore.detection.table import Species


class DetectSettings(BaseModel):
    """What is detected, whatever the model and the files are.

    Attributes:
        min_conf: The threshold of all classes.
        thresholds: Of each class (K,) instead; a class without one is not looked for.
        segment_s: Fixed windows of so many seconds instead of events by hysteresis.
        overlap_s: Overlap of fixed windows, seconds.
        top_n: The surest so many classes of each fixed window, whatever their probability.
        merge_consecutive: Up to so many fixed windows of a class become one detection.
        classes: Class codes that are asked for; None for all.
        events: How events by hysteresis are found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_conf: float = Field(default=0.25, gt=0, le=1)
    thresholds: tuple[float | None, ...] | None = None
    segment_s: float | None = Field(default=None, gt=0)
    overlap_s: float = Field(default=0.0, ge=0)
    top_n: int = Field(default=0, ge=0)
    merge_consecutive: int = Field(default=1, ge=1)
    classes: tuple[str, ...] | None = None
    events: EventSettings = EventSettings()


@dataclass(frozen=True)
class Selection:
    """Which of a recording's probabilities become events.

    Attributes:
        classes: Which of the model's classes are asked for (C,), indices in order.
        thresholds: Of all the model's classes (K,).
        segment_s: Length of fixed windows, None for events by hysteresis.
        settings: How windows or events are found.
    """

    classes: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    segment_s: float | None
    settings: DetectSettings


def select(
    settings: DetectSettings, species: Sequence[Species], window_s: float | None
) -> Selection:
    """Settings as indices and thresholds of a model's classes.

    Args:
        settings: What is asked for.
        species: The model's classes (K,).
        window_s: The only length of windows that the model knows, None where it knows any.

    Raises:
        ValueError: They do not fit each other.
    """
    segment_s = window_s if settings.segment_s is None else settings.segment_s
    if window_s not in (None, segment_s):
        raise ValueError(f"this model has windows of {window_s:g} s only, not of {segment_s:g} s")
    of_windows = settings.overlap_s or settings.top_n or settings.merge_consecutive > 1
    if segment_s is None and of_windows:
        raise ValueError(
            "overlap, top_n and merge_consecutive are of fixed windows: say how long these are "
            "(segments of 3 or 5 s)"
        )
    if segment_s is not None and settings.overlap_s >= segment_s:
        raise ValueError(
            f"an overlap of {settings.overlap_s:g} s does not fit windows of {segment_s:g} s"
        )
    given = settings.thresholds or (settings.min_conf,) * len(species)
    if len(given) != len(species):
        raise ValueError(f"there are {len(given)} thresholds for {len(species)} classes")
    asked = None if settings.classes is None else set(settings.classes)
    classes = [
        at
        for at, (one, threshold) in enumerate(zip(species, given, strict=True))
        if threshold is not None and (asked is None or one.code in asked)
    ]
    if not classes:
        raise ValueError("the model has none of the classes that are asked for")
    thresholds = np.array([np.inf if one is None else one for one in given])
    return Selection(np.array(classes), thresholds, segment_s, settings)
