"""Stage `mel`: mel spectrograms of one shard, over the kept audio of each recording.

Decode, cut, resample, divide by the peak, mel, code, block by block into `mel.parquet`: one
recording in memory at a time.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from birdcore.artifact import Facts, Ref, Step
from birdcore.audio.kept import kept_samples
from birdcore.catalog.shards import Shard
from birdcore.catalog.source import LABELLED
from birdcore.mel.scale import Scale, encode
from birdcore.mel.shard import ShardWriter
from birdcore.mel.spec import MelSpec
from birdcore.mel.spectrogram import mel_energy
from birdcore.recipe import Clean, Mel, defaults_of
from birdcore.store import Job

VERSION = 1


def step(shard: Shard, cleaned: Ref, mel: Mel, clean: Clean, root: Path) -> Step:
    spec = mel.spec()
    config = {
        "spec": spec.model_dump(),
        "scale": asdict(_scale(mel)),
        # Soundscapes are never cut, so that the cross-fade is no matter of theirs.
        "fade_s": clean.fade_s if shard.kind in LABELLED else 0.0,
    }
    files = {f.path: f.sha256 for f in shard.files}
    name = f"mel {shard.name}"
    defaults = {"spec": defaults_of(spec), "scale": asdict(Scale())}
    return Step("mel", VERSION, name, config, {"clean": (cleaned,)}, files, str(root), defaults)


def _scale(mel: Mel) -> Scale:
    # Magnitudes of tones in wide filters reach ten decibels more than powers do.
    return Scale(ceiling_db=45.0 if mel.spec().power == 1 else 35.0, dtype=mel.dtype)


def run(job: Job) -> Facts:
    spec = MelSpec(**job.config["spec"])
    scale = Scale(**job.config["scale"])
    path = job.folder / "mel.parquet"
    seconds = 0.0
    recordings = frames = 0
    with ShardWriter(path, spec, scale) as shard:
        for name, samples in kept_samples(job, spec.sample_rate):
            peak = max(float(samples.max()), -float(samples.min())) or 1.0
            samples /= np.float32(peak)  # in place: an hour is half a gigabyte
            codes = encode(mel_energy(samples, spec), spec.power, scale)
            shard.write(name, codes, peak)
            recordings += 1
            seconds += len(samples) / spec.sample_rate
            frames += len(codes)
    return {
        "recordings": recordings,
        "frames": frames,
        "hours": round(seconds / 3600, 4),
        "megabytes": round(path.stat().st_size / 1e6, 2),
    }
