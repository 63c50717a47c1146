"""`front_end.npz` of a bundle: arrays that its script would else have to compute as torch does.

They are the window, the filters, the power of each code, and what the resampler lets through.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import soxr

from birdcore.features.mel import MelSpec
from birdcore.features.scale import Scale, power_table
from birdcore.features.spectrogram import filter_bank, hann_window


def front_end_arrays(spec: MelSpec, scale: Scale) -> Mapping[str, Any]:
    """The arrays of front_end.npz.

    Returns:
        window (n_fft,), bank (n_fft // 2 + 1, bins), power_table (256,) where codes are uint8, and
        response: of the resampler, see `resampler_response`.
    """
    small = scale.dtype == "uint8"
    return {
        "window": hann_window(spec.n_fft),
        "bank": filter_bank(spec),
        "power_table": power_table(scale) if small else np.zeros(0, np.float32),
        "response": resampler_response(),
    }


def resampler_response(points: int = 257) -> np.ndarray:
    """Gain of soxr HQ at frequencies from 0.9 to 1 of the lower rate's highest, evenly, (points,).

    It is the same for all pairs of rates to 1e-3, so one is measured: the spectrum of an impulse.
    """
    source, target = 48_000, 32_000
    impulse = np.zeros(source)
    impulse[source // 2] = 1.0
    spectrum = np.abs(np.fft.rfft(soxr.resample(impulse, source, target, quality="HQ")))
    hz = np.linspace(0.9, 1.0, points) * target / 2
    return np.asarray(np.interp(hz, np.arange(len(spectrum)), spectrum) * source / target)
