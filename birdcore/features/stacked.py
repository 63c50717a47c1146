"""Several front ends at once, whose frames become the channels of a model's input.

What a mel blurs a linear or a wavelet front end may show, and a network that sees both chooses.
They are one front end for everything that stores, crops, mixes or predicts: its frame is the frames
of its parts laid end to end. Only what makes a model's input, or acts on some frequencies, asks for
the number of channels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.reading import Reading
from birdcore.features.scale import Power, Scale

if TYPE_CHECKING:
    from torch import Tensor

    from birdcore.features.front_end import FrontEnd

Floats = npt.NDArray[np.float32]

JOIN = "+"
"""Between the names of the parts in the name of a stack."""


ALIKE = {
    "recovers_wave": "whether they are samples",
    "recovers_power": "whether they keep power",
    "sample_rate": "sample rate",
    "frame_rate": "frames a second",
    "bins": "bins",
    "power": "whether they are power (2) or magnitude (1)",
    "reading": "how files are read",
}
"""What parts must agree in, in words."""


@dataclass(frozen=True)
class Stacked:
    """Two front ends or more with the same rate, frames and bins (see `FrontEnd`).

    Raises:
        ValueError: They differ in one of these, or in what their energies are.

    Example:
        >>> from birdcore.features.mel import MelSpec
        >>> from birdcore.features.stft import StftSpec
        >>> both = Stacked((MelSpec(), StftSpec(n_mels=128)))
        >>> both.name, both.input_channels, both.bins
        ('mel+stft', 2, 256)
    """

    parts: "tuple[FrontEnd, ...]"

    def __post_init__(self) -> None:
        first, *others = self.parts
        assert others, "a stack of one is that one"
        for other in others:
            for what, words in ALIKE.items():
                one, two = getattr(first, what), getattr(other, what)
                if one != two:
                    raise ValueError(
                        f"{first.name} and {other.name} can't be channels of one input: they "
                        f"differ in {words}, {one} and {two}"
                        f"{': set n_mels' if what == 'bins' else ''}"
                    )

    @property
    def name(self) -> str:
        """The names of the parts, in order."""
        return JOIN.join(part.name for part in self.parts)

    @property
    def input_channels(self) -> int:
        return len(self.parts)

    @property
    def bins(self) -> int:
        """Those of all parts: a frame is theirs laid end to end."""
        return sum(part.bins for part in self.parts)

    @property
    def sample_rate(self) -> int:
        return self.parts[0].sample_rate

    @property
    def speed(self) -> float:
        return self.parts[0].speed

    @property
    def reading(self) -> Reading:
        return self.parts[0].reading

    @property
    def frame_rate(self) -> float:
        return self.parts[0].frame_rate

    @property
    def power(self) -> Power:
        return self.parts[0].power

    @property
    def recovers_power(self) -> bool:
        return self.parts[0].recovers_power

    @property
    def recovers_wave(self) -> bool:
        return self.parts[0].recovers_wave

    def frames(self, samples: int) -> int:
        return self.parts[0].frames(samples)

    def samples(self, frames: int) -> int:
        return max(part.samples(frames) for part in self.parts)

    def fixed_length(self, seconds: float) -> int:
        return self.parts[0].fixed_length(seconds)

    def at_speed(self, speed: float) -> "Stacked":
        return Stacked(tuple(part.at_speed(speed) for part in self.parts))

    def centres(self) -> Floats:
        return np.concatenate([part.centres() for part in self.parts])

    def bandwidths(self) -> Floats | None:
        """Widths (F,), Hz; those of a part whose bins are all alike are 1, since only how they
        compare within a part counts."""
        widths = [part.bandwidths() for part in self.parts]
        if all(each is None for each in widths):
            return None
        alike = np.ones(self.parts[0].bins, np.float32)
        return np.concatenate([alike if each is None else each for each in widths])

    def scale(self, dtype: Literal["uint8", "float16"]) -> Scale:
        """One that holds the energies of all parts."""
        scales = [part.scale(dtype) for part in self.parts]
        decibels = [scale for scale in scales if isinstance(scale, Scale)]
        assert len(decibels) == len(scales), "one front end alone has a scale of values"
        floor_db = min(scale.floor_db for scale in decibels)
        return Scale(floor_db, max(scale.ceiling_db for scale in decibels), dtype)

    def energies(self, blocks: Iterable[Block]) -> Iterator[Floats]:
        """Energies (t, F) of all parts; the recording is read once."""
        copies = tee(blocks, len(self.parts))
        first, *others = (
            part.energies(copy) for part, copy in zip(self.parts, copies, strict=True)
        )
        readers = [Reader(each) for each in others]
        # In step, so that no part is ahead of another by more than its window.
        for energy in first:
            rest = (reader.take(len(energy)) for reader in readers)
            yield np.concatenate([energy, *rest], axis=1)

    def model_dump(self) -> dict[str, Any]:
        """The settings of each part, by its name."""
        return {part.name: part.model_dump() for part in self.parts}


def bins_of_first(front_end: "FrontEnd") -> "Tensor | None":
    """For each bin (C * F,) the bin of the first channel that is nearest in frequency.

    What is drawn for the first channel so acts on the same frequencies of the others, whose bins
    lie elsewhere. None where there is but one channel.
    """
    import torch

    channels = front_end.input_channels
    if channels == 1:
        return None
    centres = torch.from_numpy(front_end.centres())
    first = centres[: len(centres) // channels]
    return (centres[:, None] - first).abs().argmin(dim=1)
