"""What cleaning kept of a shard's recordings: mels are of it, and an outside teacher hears it.

Both go through here, so that a second in one is the same second in the other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from birdcore.audio.blocks import Block, Blocks, held
from birdcore.audio.decode import Audio, decode
from birdcore.audio.resample import resampled
from birdcore.audio.trim import cut
from birdcore.store.store import Job


def kept_recordings(job: Job, rate: int) -> Iterator[tuple[str, Blocks]]:
    """Each recording that cleaning kept and its samples, one or more, mono, cut, at this rate.

    The job reads `clean` and has the setting `fade_s`. Cuts are made at the native rate, with a
    short cross-fade. Says its progress.
    """
    kept = pd.read_parquet(job.input("clean") / "kept.parquet")
    pieces_of = kept.groupby("recording", sort=False)
    for done, (name, pieces) in enumerate(pieces_of):
        job.progress(done, len(pieces_of), str(name))
        intervals = list(zip(pieces["from"], pieces["to"], strict=True))
        path = job.source(str(name))
        yield str(name), held(_kept(decode(path), intervals, job.config["fade_s"], rate))
    job.progress(len(pieces_of), len(pieces_of), "")


def _kept(
    audio: Audio, intervals: Sequence[tuple[float, float]], fade_s: float, rate: int
) -> Blocks:
    def blocks() -> Iterator[Block]:
        joined = cut(audio.blocks(), audio.frames, audio.rate, intervals, fade_s)
        samples = 0
        for block in resampled(joined, audio.rate, rate):
            samples += len(block)
            yield block
        if not samples:  # a sample or two of a high rate can become none
            yield np.zeros(1, np.float32)

    return blocks
