"""A detector without a model, for tests of all that is around one: loud seconds are events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from birdcore.audio.decode import Audio, Rejected
from birdcore.audio.reading import AS_IT_IS, Reading
from birdcore.detection.calibration import Calibration
from birdcore.detection.events import Events, find_events
from birdcore.detection.models import Heard, no_progress
from birdcore.detection.settings import Selection
from birdcore.detection.table import Species


@dataclass
class Loudness:
    """Two classes: the largest absolute sample of each second, and a tenth of it."""

    key: str = "loudness"
    species: tuple[Species, ...] = (
        Species("loud", "Sonus magnus", "Loud Sound"),
        Species("quiet", "quiet", "quiet"),
    )
    window_s: float | None = None
    calibration: Calibration | None = None
    reading: Reading = AS_IT_IS

    def prepare(self, name: str, audio: Audio) -> np.ndarray:
        samples = audio.samples
        starts = np.arange(0, len(samples), audio.rate)
        return np.maximum.reduceat(np.abs(samples), starts)

    def events(
        self,
        recordings: Iterable[np.ndarray],
        selection: Selection,
        heard: Heard = no_progress,
    ) -> Iterator[Events | Rejected]:
        for peaks in recordings:
            cells = np.stack([peaks, peaks / 10], axis=1)
            yield find_events([cells], 1.0, float(len(peaks)), selection.thresholds)
