"""How files are read: which of their channels, and how much slower they play than it sounded.

Recorders of bats write ten times slower than life, so that calls can be heard: a file of 44.1 kHz
holds sound of 441 kHz. `speed` says so. Times stay the file's own seconds everywhere (cuts, labels,
windows, detections), since those are what every other program shows; frequencies are true.
"""

import math
import re
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from birdcore.audio.riff import small_chunks

Channels: TypeAlias = Literal["mean", "first", "loudest", "each"]
EXPANSION = re.compile(rb"^TE *:(.*)$", re.MULTILINE)


class Reading(BaseModel):
    """How files are read; front ends inherit these settings, so that a model carries them.

    Attributes:
        channels: The mean over the channels, the first, or that with the most power; "each" keeps
            the features of every channel (`birdcore.audio.channels`), and reads that with the most
            power where a file is read as one recording.
        speed: How many times slower than life files are: their rate times this is the true one.
        speed_from: "file": each file's GUANO chunk says it (TE), and 1 where there is none; `speed`
            is then that of the files that the model was trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: Channels = "mean"
    speed: float = Field(default=1.0, gt=0)
    speed_from: Literal["setting", "file"] = "setting"

    @property
    def reading(self) -> "Reading":
        """These settings alone."""
        return Reading(channels=self.channels, speed=self.speed, speed_from=self.speed_from)

    def at_speed(self, speed: float) -> Self:
        """The same, for files of another speed."""
        return self.model_copy(update={"speed": speed})

    def speed_of(self, path: Path) -> float:
        """How many times slower than life this file is.

        Raises:
            OSError: It can't be read.
        """
        return self.speed if self.speed_from == "setting" else time_expansion(path)


AS_IT_IS = Reading()


def time_expansion(path: Path) -> float:
    """What a file's GUANO chunk says of its time expansion; 1 where it says nothing.

    Raises:
        OSError: The file can't be read.
    """
    for name, content in small_chunks(path):
        if name == b"guan" and (said := EXPANSION.search(content)):
            try:
                factor = float(said[1])
            except ValueError:
                return 1.0
            return factor if 0 < factor < math.inf else 1.0
    return 1.0
