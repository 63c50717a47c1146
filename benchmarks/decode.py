"""Decoding ordinary recordings: soundfile alone, as it was done before, against `decode`.

    python -m benchmarks.decode FOLDER [COUNT]

Takes COUNT recordings (40) of each kind from FOLDER, reads each once by both ways so that the disk
plays no part, and then measures: for each recording both ways in turn, one directly after the
other, ROUNDS times, in core-seconds. What is compared is the sum over recordings of the shortest
time of each. Samples must be equal, byte for byte.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from birdcore.audio.decode import Rejected, decode

KINDS = (".ogg", ".flac", ".wav", ".mp3")
COUNT = 40
ROUNDS = 7
BLOCK = 1 << 18

Samples = NDArray[np.float32]


def plainly(path: Path) -> Samples:
    """As `decode` read before it looked at containers: block by block, averaged, checked."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        raw.read(8)
        raw.seek(max(0, size - 65_307))
        raw.read()
    parts = [np.empty(0, np.float32)]
    with sf.SoundFile(path) as file:
        while len(frames := file.read(BLOCK, dtype="float32", always_2d=True)):
            if not np.isfinite(frames).all():
                raise ValueError("holds samples that are no numbers")
            channels = frames.shape[1]
            weights = np.full(channels, 1 / channels, np.float32)
            parts.append(frames[:, 0] if channels == 1 else frames @ weights)
    return np.concatenate(parts)


def carefully(path: Path) -> Samples:
    return decode(path).samples


def core_seconds(read: Callable[[Path], Samples], path: Path) -> float:
    start = time.process_time()
    read(path)
    return time.process_time() - start


def compared(paths: list[Path]) -> tuple[float, float, float]:
    """Seconds of sound, and core-seconds of the old way and of `decode`."""
    sound = old = new = 0.0
    for path in paths:
        expected, found = plainly(path), carefully(path)
        if not np.array_equal(expected, found):
            raise SystemExit(f"{path}: other samples")
        sound += decode(path).duration_s
        times = [
            (core_seconds(plainly, path), core_seconds(carefully, path))
            if turn % 2
            else (core_seconds(carefully, path), core_seconds(plainly, path))[::-1]
            for turn in range(ROUNDS)
        ]
        old += min(before for before, _ in times)
        new += min(after for _, after in times)
    return sound, old, new


def readable(path: Path) -> bool:
    try:
        return not decode(path).problem
    except Rejected:
        return False


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else COUNT
    for kind in KINDS:
        found = sorted(path for path in Path(sys.argv[1]).rglob(f"*{kind}"))
        paths = [path for path in found[:: max(1, len(found) // count)][:count] if readable(path)]
        if not paths:
            continue
        sound, old, new = compared(paths)
        print(
            f"{kind}: {len(paths)} recordings, {sound:.0f} s; × real time: "
            f"before {sound / old:.0f}, now {sound / new:.0f}; ratio of speed {old / new:.3f}"
        )


if __name__ == "__main__":
    main()
