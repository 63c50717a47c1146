"""Stage `mel`: mel spectrograms of one shard, over the kept audio of each recording.

Decode, cut, resample, divide by the peak, mel, code, block by block into `mel.parquet`: one
recording in memory at a time.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from birdcore.artifact import Facts, Ref, Step
from birdcore.audio.cut import cut
from birdcore.audio.decode import decode, resample
from birdcore.catalog.shards import Shard
from birdcore.catalog.source import LABELLED
from birdcore.mel.scale import Scale, encode
from birdcore.mel.shard import ShardWriter
from birdcore.mel.spec import MelSpec
from birdcore.mel.spectrogram import mel_energy
from birdcore.recipe import Clean, Mel
from birdcore.store import Job

VERSION = 1


def step(shard: Shard, cleaned: Ref, mel: Mel, clean: Clean, root: Path) -> Step:
    config = {
        "spec": mel.spec().model_dump(),
        "scale": asdict(_scale(mel)),
        # Soundscapes are never cut, so that the cross-fade is no matter of theirs.
        "fade_s": clean.fade_s if shard.kind in LABELLED else 0.0,
    }
    files = {f.path: f.sha256 for f in shard.files}
    name = f"mel {shard.name}"
    return Step("mel", VERSION, name, config, {"clean": (cleaned,)}, files, str(root))


def _scale(mel: Mel) -> Scale:
    # Magnitudes of tones in wide filters reach ten decibels more than powers do.
    return Scale(ceiling_db=45.0 if mel.spec().power == 1 else 35.0, dtype=mel.dtype)


def run(job: Job) -> Facts:
    spec = MelSpec(**job.config["spec"])
    scale = Scale(**job.config["scale"])
    kept = pd.read_parquet(job.input("clean") / "kept.parquet")
    intervals = {
        str(name): list(zip(rows["from"], rows["to"], strict=True))
        for name, rows in kept.groupby("recording", sort=False)
    }
    path = job.folder / "mel.parquet"
    seconds = 0.0
    frames = 0
    with ShardWriter(path, spec, scale) as shard:
        for done, (name, pieces) in enumerate(intervals.items()):
            job.progress(done, len(intervals), name)
            samples = _kept_samples(job, name, pieces, spec.sample_rate)
            peak = max(float(samples.max()), -float(samples.min())) or 1.0
            samples /= np.float32(peak)  # in place: an hour is half a gigabyte
            codes = encode(mel_energy(samples, spec), spec.power, scale)
            shard.write(name, codes, peak)
            seconds += len(samples) / spec.sample_rate
            frames += len(codes)
    job.progress(len(intervals), len(intervals), "")
    return {
        "recordings": len(intervals),
        "frames": frames,
        "hours": round(seconds / 3600, 4),
        "megabytes": round(path.stat().st_size / 1e6, 2),
    }


def _kept_samples(job: Job, name: str, pieces: list[tuple[float, float]], rate: int) -> np.ndarray:
    audio = decode(job.source(name))
    kept = cut(audio.samples, audio.rate, pieces, job.config["fade_s"])
    samples = resample(kept, audio.rate, rate)
    # A sample or two of a high rate can become none.
    return samples if samples.size else np.zeros(1, np.float32)
