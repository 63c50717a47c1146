"""Stage `clean`: what of each recording may be used, for one shard of recordings.

Decodes, measures quality, finds human speech and decides what is cut. No audio is written: the
cuts are a table, which the mel stage applies and a person may overrule (`overrides.csv`).
Publishes `recordings.parquet` (quality), `cuts.parquet` (what goes, and why), `kept.parquet`
(what stays, in order), `rejected.parquet` and `problems.parquet` (of recordings that are used all
the same). Soundscapes keep every second that can be read, since their rows are named by the clock.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.audio.blocks import Block
from birdcore.audio.decode import Rejected, decode
from birdcore.audio.quality import Quality, quality
from birdcore.audio.resample import resampled
from birdcore.audio.speech import SPEECH_RATE, SpeechSettings, speech_intervals, speech_of
from birdcore.audio.trim import Override, kept_intervals
from birdcore.config import Clean, defaults_of
from birdcore.sources.birdclef import LABELLED
from birdcore.sources.shards import Shard
from birdcore.store.artifact import Artifact, Metrics, Step
from birdcore.store.store import Job

VERSION = 2

CUTS = pa.schema(
    [("recording", pa.string()), ("action", pa.string()), ("from", pa.float64()),
     ("to", pa.float64()), ("by", pa.string())]
)  # fmt: skip
KEPT = pa.schema([("recording", pa.string()), ("from", pa.float64()), ("to", pa.float64())])
REJECTED = pa.schema([("recording", pa.string()), ("reason", pa.string())])
USED, UNREADABLE = "recording used as it is", "soundscape that can't be used"
"""Problems, as problems.csv and the report call them."""
PROBLEMS = pa.schema([("recording", pa.string()), ("problem", pa.string())])
RECORDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("rate", pa.int32()),
        ("channels", pa.int32()),
        ("truncated", pa.bool_()),
        ("duration_s", pa.float64()),
        ("peak", pa.float64()),
        ("clipped_runs", pa.int64()),
        ("clipped_share", pa.float64()),
        ("snr_db", pa.float64()),
        ("silent", pa.bool_()),
        ("speech_s", pa.float64()),
        ("speech_share", pa.float64()),
        ("kept_s", pa.float64()),
    ]
)


class TooManyRejected(ValueError):
    """So much of a shard was rejected that something else must be wrong."""


def step(
    shard: Shard, clean: Clean, overrides: dict[str, tuple[Override, ...]], root: Path
) -> Step:
    """Cleaning of one shard; only the overrides of its own recordings are part of its key."""
    config: dict[str, Any] = {"kind": shard.kind, **clean.model_dump()}
    if shard.kind in LABELLED:
        own = {f.path: overrides[f.path] for f in shard.files if f.path in overrides}
        config["overrides"] = {
            name: [[o.action, o.start_s, None if math.isinf(o.end_s) else o.end_s] for o in rows]
            for name, rows in own.items()
        }
    else:
        # Only training recordings are cut, so no setting of cutting concerns a soundscape.
        config = {"kind": shard.kind}
    files = {f.path: f.sha256 for f in shard.files}
    return Step(
        "clean",
        VERSION,
        f"clean {shard.name}",
        config,
        files=files,
        root=str(root),
        defaults=defaults_of(clean),
    )


@dataclass(frozen=True)
class _Measured:
    """What is known of a recording without its samples, which are not held."""

    name: str
    rate: int
    channels: int
    truncated: bool
    problem: str
    note: str
    quality: Quality


def run(job: Job) -> Metrics:
    rejected: dict[str, str] = {}
    measured: list[dict[str, Any]] = []
    cuts: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    for one, speech in _with_speech(job, _measured(job, rejected)):
        name, facts = one.name, one.quality
        left = _kept(job, name, facts, speech)
        reason = _reason_to_reject(job, one, sum(end - start for start, end in left))
        if reason:
            rejected[name] = reason
            continue
        kept += [{"recording": name, "from": start, "to": end} for start, end in left]
        cuts += [
            {"recording": name, "action": "cut", "from": start, "to": end,
             "by": _cause(start, end, job, name, speech)}
            for start, end in _gaps(left, facts.duration_s)
        ]  # fmt: skip
        problems += [{"recording": name, "problem": p} for p in (one.problem, one.note) if p]
        spoken = sum(end - start for start, end in speech)
        measured.append(
            {"recording": name, "rate": one.rate, "channels": one.channels,
             "truncated": one.truncated, **asdict(facts), "speech_s": spoken,
             "speech_share": spoken / facts.duration_s,
             "kept_s": sum(end - start for start, end in left)}
        )  # fmt: skip
    reasons = [
        {"recording": name, "reason": rejected[name]} for name in job.step.files if name in rejected
    ]
    tables = {
        "recordings": (measured, RECORDINGS), "cuts": (cuts, CUTS), "kept": (kept, KEPT),
        "rejected": (reasons, REJECTED), "problems": (problems, PROBLEMS),
    }  # fmt: skip
    for name, (rows, schema) in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema), job.folder / f"{name}.parquet")
    _refuse_too_many(job, rejected)
    return {
        "recordings": len(measured),
        "rejected": len(rejected),
        "problems": len(problems),
        "hours": round(sum(m["duration_s"] for m in measured) / 3600, 4),
        "with_speech": sum(m["speech_s"] > 0 for m in measured),
        "cut_s": round(sum(c["to"] - c["from"] for c in cuts), 2),
    }


def recording_problems(cleaned: Iterable[Artifact]) -> pd.DataFrame:
    """What is wrong with recordings, as rows (problem, where, detail) of `problems.csv`.

    Those that are used, and soundscapes that can't be; rejected clips have a table of their own.
    """
    tables = []
    for artifact in cleaned:
        used = pd.read_parquet(artifact / "problems.parquet")
        tables.append(used.rename(columns={"problem": "detail"}).assign(problem=USED))
        if artifact.manifest.config["kind"] not in LABELLED:
            lost = pd.read_parquet(artifact / "rejected.parquet")
            tables.append(lost.rename(columns={"reason": "detail"}).assign(problem=UNREADABLE))
    columns = ["problem", "recording", "detail"]
    rows = pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)
    return rows.rename(columns={"recording": "where"})


def _measured(job: Job, rejected: dict[str, str]) -> Iterator[tuple[_Measured, Iterator[Block]]]:
    """Recordings that can be decoded with their quality, and their blocks at 16 kHz."""
    total = len(job.step.files)
    for done, name in enumerate(job.step.files):
        job.progress(done, total, name)
        try:
            audio = decode(job.source(name))
        except Rejected as error:
            rejected[name] = str(error)
            continue
        facts = quality(audio.blocks, audio.rate)
        about = audio.rate, audio.channels, audio.truncated, audio.problem, audio.note
        yield _Measured(name, *about, facts), resampled(audio.blocks(), audio.rate, SPEECH_RATE)
        del audio
    job.progress(total, total, "")


def _with_speech(
    job: Job, recordings: Iterator[tuple[_Measured, Iterator[Block]]]
) -> Iterator[tuple[_Measured, list[tuple[float, float]]]]:
    if job.config["kind"] not in LABELLED or job.config["remove"] == "none":
        for one, blocks in recordings:
            del blocks  # and with them the recording, before the next one is decoded
            yield one, []
        return
    settings = SpeechSettings(
        threshold=job.config["threshold"],
        min_speech_duration_ms=round(1000 * job.config["min_speech_s"]),
        min_silence_duration_ms=round(1000 * job.config["min_silence_s"]),
    )
    for one, probabilities, samples in speech_of(recordings):
        yield one, speech_intervals(probabilities, samples, settings)


def _kept(
    job: Job, name: str, facts: Quality, speech: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    if job.config["kind"] not in LABELLED:
        return [(0.0, facts.duration_s)]
    overrides = [
        Override(action, start, math.inf if end is None else end)
        for action, start, end in job.config["overrides"].get(name, ())
    ]
    return kept_intervals(
        facts.duration_s,
        speech if _is_cut(job.config["remove"], job.step.files[name]) else [],
        job.config["margin_s"],
        overrides,
        job.config["min_kept_s"],
    )


def _is_cut(remove: str | float, sha256: str) -> bool:
    """Whether speech is cut from this recording; a share is drawn by the content's digest."""
    if isinstance(remove, str):
        return remove == "all"
    return int(sha256[:8], 16) / 16**8 < remove


def _reason_to_reject(job: Job, one: _Measured, kept_s: float) -> str | None:
    if job.config["kind"] not in LABELLED:
        return None
    if one.problem:
        return one.problem
    facts = one.quality
    if facts.duration_s < job.config["min_duration_s"]:
        return f"only {facts.duration_s:.4f} s long (clean.min_duration_s)"
    if facts.silent:
        return "silent from start to end"
    if kept_s < job.config["min_duration_s"] or not kept_s:
        return f"only {kept_s:.2f} s left after cutting (clean.min_duration_s)"
    return None


def _gaps(kept: list[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    edges = [0.0, *[edge for interval in kept for edge in interval], duration_s]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1e-9]


def _cause(start: float, end: float, job: Job, name: str, speech: list[tuple[float, float]]) -> str:
    """Who cut this piece: "override" where a person's row touches it, else "speech"."""
    for action, a, b in job.config["overrides"].get(name, ()):
        if action == "cut" and a < end and (b is None or b > start):
            return "override"
    return "speech"


def _refuse_too_many(job: Job, rejected: dict[str, str]) -> None:
    if job.config["kind"] not in LABELLED or not rejected:
        return
    share = len(rejected) / len(job.step.files)
    # One bad file in a shard of two is no sign of anything.
    if len(rejected) > 10 and share > job.config["max_rejected"]:
        name, reason = next(iter(rejected.items()))
        raise TooManyRejected(
            f"{len(rejected)} of {len(job.step.files)} recordings of {job.step.name} were "
            f"rejected, more than clean.max_rejected = {job.config['max_rejected']}; "
            f"the first: {name}: {reason}"
        )
