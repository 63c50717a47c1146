"""The front end that computes nothing: raw samples, for models that learn their own filters.

Its frame t is the `hop_length` samples around sample `t * hop_length`, so that whatever counts in
frames (shards, crops, windows, labels) needs to know nothing of samples. Frames laid end to end are
the recording. Samples are signed and add as waves do, so mixing is exact: see `recovers_wave`.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from birdcore.features.framing import Hopping
from birdcore.features.scale import WaveScale

Floats = npt.NDArray[np.float32]

MU = 4095.0
"""Telephones have 255. Over the seconds of 25 clips, each divided by its peak, codes' errors are
34 dB below the sound in the median, and 30 in the quietest twentieth, where 255 has 32 and 16."""


class WaveSpec(Hopping):
    """Raw samples at `sample_rate`, `hop_length` a frame (see `FrontEnd`).

    Example:
        >>> spec = WaveSpec(hop_length=320, sample_rate=16_000)
        >>> spec.bins, spec.frame_rate, spec.fixed_length(5.0)
        (320, 50.0, 251)
    """

    name: ClassVar[str] = "wave"
    input_channels: ClassVar[int] = 1
    recovers_power: ClassVar[bool] = False
    recovers_wave: ClassVar[bool] = True
    power: ClassVar[Literal[1, 2]] = 1

    @property
    def bins(self) -> int:
        """The samples of a frame."""
        return self.hop_length

    def centres(self) -> Floats:
        """Zeros (hop_length,): a sample has no frequency."""
        return np.zeros(self.hop_length, np.float32)

    def bandwidths(self) -> Floats | None:
        """None: a sample has no bandwidth."""
        return None

    def scale(self, dtype: Literal["uint8", "float16"] = "uint8") -> WaveScale:
        """The scale of samples with a peak of 1."""
        return WaveScale(MU, dtype)

    def energies(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """Samples (t, hop_length), -1 to 1; beyond the recording's ends they are mirrored."""
        from birdcore.features.spectrogram import centred_frames

        frames = centred_frames(blocks, self.hop_length, self.hop_length)
        return (np.ascontiguousarray(each) for each in frames)
