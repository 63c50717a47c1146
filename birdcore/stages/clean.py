"""Stage `clean`: what of each recording may be used, for one shard of recordings.

Decodes, measures quality, finds human speech and decides what is cut. No audio is written: the
cuts are a table, which later stages apply and `overrides.csv` can overrule. Publishes the tables
of `birdcore/audio/cleaned.py`. Soundscapes keep every second that can be decoded, since their rows
are named by the clock.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from birdcore.audio.reading import AS_IT_IS, Reading
from birdcore.audio.rules import check_rejected
from birdcore.audio.trim import Action, Override
from birdcore.config import Clean, defaults_of
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Metrics, Step
from birdcore.store.store import Job
from birdcore.taxa import group_of

VERSION = 2


class Settings(Clean, Reading):
    """What cleaning of one shard reads: the recipe's [clean], how files are read, and the shard's
    own overrides."""

    kind: str
    overrides: Mapping[str, tuple[tuple[Action, float, float | None], ...]] | None = None
    """Rows (action, start, end) in seconds by recording; an end of None is the recording's. No
    mapping where nothing is cut."""
    unsearched: tuple[str, ...] = ()
    """Recordings in which no speech is looked for, by `no_speech_in`."""

    def overrides_by_recording(self) -> dict[str, list[Override]]:
        return {
            name: [Override(a, start, math.inf if end is None else end) for a, start, end in rows]
            for name, rows in (self.overrides or {}).items()
        }


def step(
    shard: Shard,
    clean: Clean,
    overrides: Mapping[str, tuple[Override, ...]],
    root: Path,
    groups: Mapping[str, str] | None = None,
    reading: Reading = AS_IT_IS,
) -> Step:
    """Cleaning of one shard; only what concerns its own recordings is part of its key.

    Args:
        shard: The recordings.
        clean: The settings.
        overrides: Decisions made by hand, by recording.
        root: Where recordings lie.
        groups: What recordings are of (`Source.groups`), as far as that is known.
        reading: How files are read, as the front end has it.
    """
    # Only training recordings are cut, so no setting of cutting concerns a soundscape.
    config: dict[str, Any] = {"kind": shard.kind, **reading.model_dump(exclude_defaults=True)}
    if shard.use == "labelled":
        # In which recordings no speech is looked for concerns a shard that has such ones.
        config |= clean.model_dump(exclude={"no_speech_in"})
        skipped = {group_of(group) for group in clean.no_speech_in}
        unsearched = [
            file.path
            for file in shard.files
            if group_of((groups or {}).get(file.path, "")) in skipped
        ]
        config |= {"unsearched": unsearched} if unsearched else {}
        config["overrides"] = {
            file.path: [
                [row.action, row.start_s, None if math.isinf(row.end_s) else row.end_s]
                for row in overrides[file.path]
            ]
            for file in shard.files
            if file.path in overrides
        }
    files = {f.path: f.sha256 for f in shard.files}
    name = f"clean {shard.name}"
    return Step(
        "clean", VERSION, name, config, files=files, root=str(root), defaults=defaults_of(clean)
    )


def cuts(step: Step) -> bool:
    """Whether a step cuts recordings: those that train, which soundscapes do not."""
    return "overrides" in step.config


def run(job: Job) -> Metrics:
    from birdcore.audio.cleaning import Recording, clean_recordings

    settings = Settings(**job.config)
    rules = None if settings.overrides is None else settings
    files = job.step.files
    recordings = [Recording(name, job.source(name), sha256) for name, sha256 in files.items()]
    by_hand, skipped = settings.overrides_by_recording(), settings.unsearched
    tables = clean_recordings(recordings, rules, by_hand, job.progress, skipped, settings)
    tables.write(job.folder, list(files))
    if rules is not None:
        check_rejected(tables.rejected, files, job.step.name, rules)
    measured = tables.recordings
    unsearched: Metrics = {"not_searched_for_speech": len(skipped)} if skipped else {}
    return {
        "recordings": len(measured),
        "rejected": len(tables.rejected),
        "problems": len(tables.problems),
        "hours": round(sum(row["duration_s"] for row in measured) / 3600, 4),
        "with_speech": sum(row["speech_s"] > 0 for row in measured),
        "cut_s": round(sum(row["to"] - row["from"] for row in tables.cuts), 2),
        **unsearched,
    }
