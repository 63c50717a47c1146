"""Stage `mel`: mel spectrograms of one shard, over the kept audio of each recording.

Decode, cut, resample, divide by the peak, mel, code, block by block into `mel.parquet`. The peak
is known at the end, so all but the mel is done twice where a recording is too long to be held.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from birdcore.audio.blocks import Block
from birdcore.audio.kept_audio import kept_recordings
from birdcore.config import Clean, Mel, defaults_of
from birdcore.features.scale import Codes, Scale, encode
from birdcore.features.shard import ShardWriter
from birdcore.features.spec import MelSpec
from birdcore.features.spectrogram import mel_blocks
from birdcore.sources.birdclef import LABELLED
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

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


def run(job: Job) -> Metrics:
    spec = MelSpec(**job.config["spec"])
    scale = Scale(**job.config["scale"])
    path = job.folder / "mel.parquet"
    seconds = 0.0
    recordings = frames = 0
    with ShardWriter(path, spec, scale) as shard:
        for name, blocks in kept_recordings(job, spec.sample_rate):
            samples, peak = _measured(blocks())
            shard.write(name, _codes(blocks(), peak, spec, scale), peak)
            recordings += 1
            seconds += samples / spec.sample_rate
            frames += spec.frames(samples)
    return {
        "recordings": recordings,
        "frames": frames,
        "hours": round(seconds / 3600, 4),
        "megabytes": round(path.stat().st_size / 1e6, 2),
    }


def _measured(blocks: Iterable[Block]) -> tuple[int, float]:
    """How many samples there are, and the largest of their absolute values (1 in silence)."""
    samples, peak = 0, 0.0
    for block in blocks:
        samples += len(block)
        peak = max(peak, float(block.max()), -float(block.min()))
    return samples, peak or 1.0


def _codes(blocks: Iterable[Block], peak: float, spec: MelSpec, scale: Scale) -> Iterator[Codes]:
    level = (block / np.float32(peak) for block in blocks)
    return (encode(energy, spec.power, scale) for energy in mel_blocks(level, spec))
