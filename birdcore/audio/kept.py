"""What cleaning kept of a shard's recordings: mels are of it, and an outside teacher hears it.

Both go through here, so that a second in one is the same second in the other.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.audio.cut import cut
from birdcore.audio.decode import decode, resample
from birdcore.store import Job


def kept_samples(job: Job, rate: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each recording that cleaning kept and its samples (n,), n > 0, mono, cut, at this rate.

    The job reads `clean` and has the setting `fade_s`. Cuts are made at the native rate, with a
    short cross-fade. Says its progress.
    """
    kept = pd.read_parquet(job.input("clean") / "kept.parquet")
    pieces_of = kept.groupby("recording", sort=False)
    for done, (name, pieces) in enumerate(pieces_of):
        job.progress(done, len(pieces_of), str(name))
        audio = decode(job.source(str(name)))
        intervals = list(zip(pieces["from"], pieces["to"], strict=True))
        samples = cut(audio.samples, audio.rate, intervals, job.config["fade_s"])
        samples = resample(samples, audio.rate, rate)
        del audio  # an hour is half a gigabyte
        # A sample or two of a high rate can become none.
        yield str(name), samples if samples.size else np.zeros(1, np.float32)
    job.progress(len(pieces_of), len(pieces_of), "")
