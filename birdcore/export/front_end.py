"""`front_end.npz` of a bundle: arrays that its script would else have to compute as torch does.

They are the window, the filters, the power of each code, and what the resampler lets through. Front
ends that are filters over a short-time Fourier transform are known here, to the script and to the
graph of `waveform_front_end.py`, and PCEN, which takes a step more. Wavelets, several front ends at
once and raw samples are not.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import numpy as np
import soxr

from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.scale import AnyScale, power_table
from birdcore.features.spectrogram import Floats, filter_bank, hann_window, linear_bank
from birdcore.features.stft import StftSpec

ExportedSpec: TypeAlias = MelSpec | StftSpec | PcenSpec


def exported_spec(spec: FrontEnd, where: object) -> ExportedSpec:
    """The front end, which is one that is exported.

    Raises:
        ValueError: It is another; the message begins with `where`.
    """
    if not isinstance(spec, ExportedSpec):
        *some, last = (known.name for known in get_args(ExportedSpec))
        raise ValueError(
            f"{where} has no front end {spec.name!r}: only {', '.join(some)} and {last} are "
            "exported"
        )
    return spec


def filters_of(spec: ExportedSpec) -> Floats:
    """The filters of a front end (n_fft // 2 + 1, bins)."""
    if isinstance(spec, StftSpec):
        return linear_bank(spec)
    return filter_bank(spec.mel if isinstance(spec, PcenSpec) else spec)


def front_end_settings(spec: ExportedSpec) -> dict[str, Any]:
    """A front end's settings in config.json, with what the script would else have to derive."""
    settings = {"name": spec.name, **spec.model_dump()}
    if isinstance(spec, PcenSpec):
        settings |= {"power": spec.power, "pcen_smoothing": spec.smoothing}
    return settings


def front_end_arrays(spec: ExportedSpec, scale: AnyScale) -> Mapping[str, Any]:
    """The arrays of front_end.npz.

    Returns:
        window (n_fft,), bank (n_fft // 2 + 1, bins), power_table (256,) where codes are uint8, and
        response: of the resampler, see `resampler_response`.
    """
    small = scale.dtype == "uint8"
    return {
        "window": hann_window(spec.n_fft),
        "bank": filters_of(spec),
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
