"""Front ends in a bundle: what its script would else have to compute as torch does.

`config.json` has a front end's settings and what follows from them, `front_end.npz` arrays: the
window and filters, the wavelets' frequencies, the power of each code, and what the resampler lets
through. The script has a function for each front end (`kit/front_ends.py`).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import soxr
import torch

from birdcore.audio.reading import Reading
from birdcore.export.kit.front_ends import FRONT_ENDS
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.scale import AnyScale, power_table
from birdcore.features.spectrogram import Floats, filter_bank, hann_window, linear_bank
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.features.wave import WaveSpec
from birdcore.features.wavelets import wavelet_bank

FilterSpec: TypeAlias = MelSpec | StftSpec | PcenSpec
COMMON = ("sample_rate", "hop_length", "power")
"""What several front ends at once have in common, beside how files are read."""


def parts_of(front_end: FrontEnd, where: object) -> tuple[FrontEnd, ...]:
    """The front ends of a model's channels, which are some that are exported.

    Raises:
        ValueError: One is another; the message begins with `where`.
    """
    parts = front_end.parts if isinstance(front_end, Stacked) else (front_end,)
    for part in parts:
        if not isinstance(part, FilterSpec | CwtSpec | WaveSpec):
            *some, last = FRONT_ENDS
            raise ValueError(
                f"{where} has no front end {part.name!r}: only {', '.join(some)} and {last} are "
                "exported"
            )
    return parts


def filters_of(spec: FilterSpec) -> Floats:
    """The filters of a front end (n_fft // 2 + 1, bins)."""
    if isinstance(spec, StftSpec):
        return linear_bank(spec)
    return filter_bank(spec.mel if isinstance(spec, PcenSpec) else spec)


def front_end_settings(front_end: FrontEnd) -> dict[str, Any]:
    """A front end's settings in config.json, with what the script would else have to derive; of
    several at once what they have in common, and each one's below `parts`."""
    if isinstance(front_end, Stacked):
        parts = {part.name: front_end_settings(part) for part in front_end.parts}
        first = next(iter(parts.values()))
        common = {key: first[key] for key in (*COMMON, *Reading.model_fields)}
        return {"name": front_end.name, **common, "parts": parts}
    settings = {"name": front_end.name, **front_end.model_dump(), "power": front_end.power}
    if isinstance(front_end, PcenSpec):
        settings |= {"pcen_smoothing": front_end.smoothing}
    if isinstance(front_end, CwtSpec):
        settings |= _blocks_of_wavelets(front_end)
    return settings


def _blocks_of_wavelets(spec: CwtSpec) -> dict[str, Any]:
    """How `wavelet_bank` divides the scales: tiers have frames that their blocks overlap by, and
    batches of scales from one to another with as many values a frame."""
    bank = wavelet_bank(spec, torch.device("cpu"))
    tiers = [
        {
            "overlap": int(tier.overlap),
            "batches": [
                [each.scales.start, each.scales.stop, each.values] for each in tier.batches
            ],
        }
        for tier in bank.tiers
    ]
    return {"wavelets": [*map(list, spec.wavelets)], "kept": int(bank.kept), "tiers": tiers}


def front_end_arrays(front_end: FrontEnd, scale: AnyScale) -> Mapping[str, Any]:
    """The arrays of front_end.npz.

    Returns:
        window (n_fft,) and bank (n_fft // 2 + 1, bins), or of wavelets hertz (scales,); of several
        front ends at once each one's, as in `mel.window`; power_table (256,) where codes are uint8;
        and response: of the resampler, see `resampler_response`.
    """
    own: dict[str, Any] = {}
    if isinstance(front_end, Stacked):
        for part in front_end.parts:
            own |= {f"{part.name}.{array}": each for array, each in _own_arrays(part).items()}
    else:
        own = _own_arrays(front_end)
    small = scale.dtype == "uint8"
    return {
        **own,
        "power_table": power_table(scale) if small else np.zeros(0, np.float32),
        "response": resampler_response(),
    }


def _own_arrays(spec: FrontEnd) -> dict[str, Any]:
    if isinstance(spec, FilterSpec):
        return {"window": hann_window(spec.n_fft), "bank": filters_of(spec)}
    return {"hertz": spec.centres().astype(np.float64)} if isinstance(spec, CwtSpec) else {}


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
