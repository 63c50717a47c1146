"""Stage `mel`: spectrograms of one shard, over the kept audio of each recording.

Decode, trim, resample, divide by the peak, transform, code, block by block into `mel.parquet`, by
whatever front end the settings name. The peak is known at the end, so all before the transform
is done twice where a recording is too long to be kept in memory.
"""

from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from birdcore.config import Clean, Mel
from birdcore.features.front_end import AnyFrontEnd, default_settings, to_settings
from birdcore.features.scale import AnyScale, Scale
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 1


class Settings(BaseModel):
    """The front end, how its energies are coded, and the cross-fade at cuts (seconds)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: AnyFrontEnd
    scale: AnyScale
    fade_s: float


def step(
    shard: Shard, cleaned: Ref, mel: Mel, clean: Clean, root: Path, speed: float = 1.0
) -> Step:
    """Spectrograms of one shard that has been cleaned; see `Mel.spec` for `speed`."""
    spec = mel.spec(speed)
    config = {
        "spec": to_settings(spec),
        "scale": asdict(spec.scale(mel.dtype)),
        # Soundscapes are never cut, so the cross-fade does not concern them.
        "fade_s": clean.fade_s if shard.use == "labelled" else 0.0,
    }
    files = {f.path: f.sha256 for f in shard.files}
    name = f"mel {shard.name}"
    defaults = {"spec": default_settings(spec), "scale": asdict(Scale())}
    return Step("mel", VERSION, name, config, {"clean": (cleaned,)}, files, str(root), defaults)


def run(job: Job) -> Metrics:
    from birdcore.audio.cleaned import KEPT
    from birdcore.audio.cleaning import kept_recordings
    from birdcore.features.front_end import encode_recording, length_and_peak
    from birdcore.features.shard import ShardWriter

    settings = Settings(**job.config)
    spec, scale = settings.spec, settings.scale
    path = job.folder / "mel.parquet"
    seconds = 0.0
    recordings = frames = 0
    kept = job.input("clean") / KEPT
    with ShardWriter(path, spec, scale) as shard:
        for name, blocks in kept_recordings(
            kept, job.source, spec.sample_rate, settings.fade_s, job.progress, spec.reading
        ):
            samples, peak = length_and_peak(blocks())
            shard.write(name, encode_recording(blocks(), peak, spec, scale), peak)
            recordings += 1
            seconds += samples / spec.sample_rate * spec.speed
            frames += spec.frames(samples)
    return {
        "recordings": recordings,
        "frames": frames,
        "hours": round(seconds / 3600, 4),
        "megabytes": round(path.stat().st_size / 1e6, 2),
    }
