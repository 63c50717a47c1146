"""What turns samples into features: the protocol, and what is done with any front end.

A front end is a frozen model of its settings which knows its shape and computes energies: frames
of frequency bins. Everything behind it (codes, shards, training, prediction, the report) asks
for no more than this protocol. To add one, write it in a file of its own, list it in
`birdcore.features.FRONT_ENDS`, and add its name and settings to `birdcore.config.mel.Mel`;
`MelSpec` is the example.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer, PlainValidator

from birdcore.audio.blocks import Block
from birdcore.audio.reading import AS_IT_IS, Reading
from birdcore.features import FRONT_ENDS
from birdcore.features.scale import AnyScale, Codes, encode
from birdcore.features.stacked import JOIN, Stacked

Floats = npt.NDArray[np.float32]

NAME_KEY, DEFAULT = "front_end", "mel"
"""Where settings name their front end; shards and models of the default one don't."""


@runtime_checkable
class FrontEnd(Protocol):
    """Mono samples at `sample_rate` to energies (T frames, F bins); each setting has a default."""

    @property
    def name(self) -> str:
        """Its key in FRONT_ENDS; of several at once theirs, see `stacked.py`."""

    @property
    def input_channels(self) -> int:
        """C, the channels of a model's input that it gives; a frame is theirs laid end to end."""

    @property
    def sample_rate(self) -> int:
        """Samples a second that it reads, Hz, of what was recorded."""

    @property
    def speed(self) -> float:
        """How many times slower than life files are."""

    @property
    def reading(self) -> Reading:
        """How files are read for it."""

    @property
    def frame_rate(self) -> float:
        """Frames a second of a file."""

    @property
    def bins(self) -> int:
        """F, the bins of a frame, of all its channels."""

    @property
    def power(self) -> Literal[1, 2]:
        """2 where energies are powers, 1 where they are magnitudes."""

    @property
    def recovers_power(self) -> bool:
        """Whether power can be had back from codes, so that recordings can be mixed in power."""

    @property
    def recovers_wave(self) -> bool:
        """Whether what is had back are samples, which add as waves do."""

    def frames(self, samples: int) -> int:
        """T of a recording of `samples` samples."""

    def samples(self, frames: int) -> int:
        """The fewest samples that give `frames` frames, 1 or more."""

    def fixed_length(self, seconds: float) -> int:
        """T of a segment of `seconds` of a file."""

    def at_speed(self, speed: float) -> "FrontEnd":
        """The same front end for files of another speed."""

    def centres(self) -> Floats:
        """The frequency of each bin (F,), Hz."""

    def bandwidths(self) -> Floats | None:
        """How wide each bin is (F,), Hz, where wider bins hold more of a noise; else None."""

    def scale(self, dtype: Literal["uint8", "float16"]) -> AnyScale:
        """The scale that holds its energies where samples have a peak of 1."""

    def energies(self, blocks: Iterable[Block]) -> Iterator[Floats]:
        """Energies (t, F), float32, of blocks (n,) of one recording, one sample or more; where no
        power can be had back from codes, values of 0 or more, as a model reads them, or samples
        where `recovers_wave`."""

    def model_dump(self) -> dict[str, Any]:
        """Its settings."""


def to_settings(front_end: FrontEnd) -> dict[str, Any]:
    """Settings of a front end as JSON holds them, for `from_settings`.

    How files are read is there where it is not as by default: files of before don't say it.
    """
    named = {} if front_end.name == DEFAULT else {NAME_KEY: front_end.name}
    if isinstance(front_end, Stacked):
        return named | {part.name: _own_settings(part) for part in front_end.parts}
    return named | _own_settings(front_end)


def _own_settings(front_end: FrontEnd) -> dict[str, Any]:
    usual = AS_IT_IS.model_dump()
    settings = front_end.model_dump().items()
    return {key: value for key, value in settings if (key, value) not in usual.items()}


def front_end_class(name: str) -> type[FrontEnd]:
    """The class that is listed under a name, imported now.

    Raises:
        ValueError: None is.
    """
    if name not in FRONT_ENDS:
        raise ValueError(f"no front end {name!r}: there is {', '.join(FRONT_ENDS)}")
    module, _, attribute = FRONT_ENDS[name].partition(":")
    return cast(type[FrontEnd], getattr(importlib.import_module(module), attribute))


def from_settings(settings: Mapping[str, Any] | FrontEnd) -> FrontEnd:
    """The front end of these settings.

    Raises:
        ValueError: for a front end that is not listed, and for settings that it refuses.

    Example:
        >>> from_settings({"n_mels": 96}).bins
        96
    """
    if isinstance(settings, FrontEnd):
        return settings
    fields = dict(settings)
    name = fields.pop(NAME_KEY, DEFAULT)
    if JOIN in name:
        parts = name.split(JOIN)
        return Stacked(tuple(front_end_class(part)(**fields[part]) for part in parts))
    return front_end_class(name)(**fields)


def default_settings(front_end: FrontEnd) -> dict[str, Any]:
    """What a front end's settings are where nothing is said of them, of those in `to_settings`."""
    if isinstance(front_end, Stacked):
        return {part.name: default_settings(part) for part in front_end.parts}
    defaults = type(front_end)().model_dump()
    return {key: defaults[key] for key in _own_settings(front_end) if key in defaults}


AnyFrontEnd = Annotated[FrontEnd, PlainValidator(from_settings), PlainSerializer(to_settings)]
"""A front end as a field of a pydantic model."""


def length_and_peak(blocks: Iterable[Block]) -> tuple[int, float]:
    """How many samples there are, and the largest of their absolute values (1 in silence)."""
    samples, peak = 0, 0.0
    for block in blocks:
        samples += len(block)
        peak = max(peak, float(block.max()), -float(block.min()))
    return samples, peak or 1.0


def encode_recording(
    blocks: Iterable[Block], peak: float, front_end: FrontEnd, scale: AnyScale
) -> Iterator[Codes]:
    """Codes (t, F) of a recording.

    Args:
        blocks: mono samples (n,) at the front end's rate.
        peak: what samples are divided by, so that quiet recordings use the scale as loud ones do.
        front_end: computes the energies.
        scale: codes them.

    Example:
        >>> from birdcore.features.mel import MelSpec
        >>> spec, second = MelSpec(), np.ones(32_000, np.float32)
        >>> codes = encode_recording([second], 1.0, spec, spec.scale("uint8"))
        >>> np.concatenate(list(codes)).shape
        (63, 128)
    """
    level = (block / np.float32(peak) for block in blocks)
    return (encode(energy, front_end.power, scale) for energy in front_end.energies(level))
