"""Front ends: from samples to the frames that models read."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from birdcore.export.kit.base import Features, Floats
from birdcore.export.kit.filters import open_filters, open_pcen
from birdcore.export.kit.wavelets import open_wavelets

JOIN = "+"  # between the names of several at once, the channels of a model's input


class FrontEnd(NamedTuple):
    """From samples (n,) with a peak of 1 to energies, values or samples (frames, channels * bins);
    a frame is those of all channels laid end to end."""

    features: Features
    channels: int


def open_samples(settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> Features:
    """The front end wave."""
    return partial(framed, settings["hop_length"])


def framed(hop: int, samples: Floats) -> Floats:
    """Samples (frames, hop) as they are, those around each frame's middle."""
    padded = np.pad(samples, (hop // 2, hop), mode="reflect" if len(samples) > 1 else "edge")
    frames = 1 + len(samples) // hop
    return padded[: frames * hop].reshape(frames, hop)


FRONT_ENDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Features]] = {
    "mel": open_filters,
    "stft": open_filters,
    "pcen": open_pcen,
    "cwt": open_wavelets,
    "superlet": open_wavelets,
    "wave": open_samples,
}
OWN_ARRAYS = {"cwt": ("hertz",), "superlet": ("hertz",), "wave": ()}
"""What each reads of front_end.npz, if it is not window and filters."""


def arrays_of(name: str) -> set[str]:
    """The names of the arrays that a front end reads; of several at once each has its own."""
    parts = name.split(JOIN)
    return {
        f"{part}.{array}" if len(parts) > 1 else array
        for part in parts
        for array in OWN_ARRAYS.get(part, ("window", "bank"))
    }


def open_front_end(settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> FrontEnd:
    """The front end of a bundle, or several at once."""
    names = settings["name"].split(JOIN)
    if len(names) == 1:
        return FrontEnd(FRONT_ENDS[names[0]](settings, arrays), 1)
    parts = []
    for name in names:
        own = {array.removeprefix(f"{name}."): each for array, each in arrays.items()}
        parts.append(FRONT_ENDS[name](settings["parts"][name], own))

    def features(samples: Floats) -> Floats:
        return np.concatenate([part(samples) for part in parts], axis=1)

    return FrontEnd(features, len(parts))
