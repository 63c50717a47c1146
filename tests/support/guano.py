"""WAV files with a GUANO chunk, as recorders of bats write them."""

import struct
from pathlib import Path

import numpy as np
import soundfile as sf


def write_guano(path: Path, samples: np.ndarray, rate: int, text: str) -> None:
    """Write samples (n,) or (n, channels), and GUANO lines behind them."""
    sf.write(path, samples, rate, subtype="FLOAT")
    content = text.encode()
    content += b" " * (len(content) % 2)
    with path.open("ab") as file:
        file.write(struct.pack("<4sI", b"guan", len(content)) + content)
    with path.open("r+b") as file:
        file.seek(4)
        file.write(struct.pack("<I", path.stat().st_size - 8))
