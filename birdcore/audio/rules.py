"""What cleaning does with a recording: its settings, and its decisions as plain functions.

The decisions are made on seconds and measured numbers, not on samples, so that each can be tested
and explained without sound. `cleaning.py` applies them to files. Nothing heavy is imported here,
so that a recipe that holds these settings is read at once.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from birdcore.audio.quality import Quality
from birdcore.audio.trim import Interval, Override, kept_intervals
from birdcore.taxa import AMPHIBIA, INSECTA

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]

FEW_REJECTED = 10
"""So many rejected recordings never fail a shard: one bad file in two is no sign of anything."""


class CleaningRules(BaseModel):
    """How training recordings are cleaned; lengths are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    remove: Literal["all", "none"] | Share = "all"
    """"all" speech, "none", or the recordings' share in which speech is cut (9th place: half)."""
    margin_s: Seconds = 0.3
    fade_s: Seconds = 0.02
    threshold: Share = 0.5
    min_speech_s: Seconds = 0.25
    min_silence_s: Seconds = 0.1
    min_kept_s: Seconds = 0.5
    """Pieces between cuts that are shorter than this go with the cuts."""
    min_duration_s: Seconds = 0.5
    """A training recording with less left after cleaning is rejected."""
    no_speech_in: tuple[str, ...] = (INSECTA, AMPHIBIA)
    """Groups of classes (class_name of the taxonomy, group of classes.csv) in whose recordings no
    speech is looked for: what finds it takes a bush cricket or a frog for a person. What a person
    said there can be cut by overrides.csv."""
    max_rejected: Share = 0.5
    """A shard of which more is rejected fails: then something else is wrong."""


class TooManyRejected(ValueError):
    """So much of a shard was rejected that something else must be wrong."""


def removes_speech(rules: CleaningRules, sha256: str) -> bool:
    """Whether speech is cut from the recording with this digest.

    Where `rules.remove` is a share, the first 32 bits of the digest decide, so that the draw is the
    same wherever and whenever it is made, and whatever other recordings there are.

    Example:
        >>> removes_speech(CleaningRules(remove=0.5), "3fffffff" + 56 * "0")
        True
    """
    if isinstance(rules.remove, str):
        return rules.remove == "all"
    return int(sha256[:8], 16) / 16**8 < rules.remove


def kept_of(
    duration_s: float,
    speech: Sequence[Interval],
    overrides: Sequence[Override],
    rules: CleaningRules,
) -> list[Interval]:
    """What stays of a training recording: see `kept_intervals`."""
    return kept_intervals(duration_s, speech, rules.margin_s, overrides, rules.min_kept_s)


def rejection_reason(
    problem: str, quality: Quality, kept: Sequence[Interval], rules: CleaningRules
) -> str:
    """Why a training recording is not used, or "".

    Args:
        problem: what decoding found wrong, "" where the recording is whole.
        quality: its measurements.
        kept: what is left of it after cutting, in seconds.
        rules: the settings.
    """
    kept_s = seconds(kept)
    if problem:
        return problem
    if quality.duration_s < rules.min_duration_s:
        return f"only {quality.duration_s:.4f} s long (clean.min_duration_s)"
    if quality.silent:
        return "silent from start to end"
    if kept_s < rules.min_duration_s or not kept_s:
        return f"only {kept_s:.2f} s left after cutting (clean.min_duration_s)"
    return ""


def cuts_between(
    kept: Sequence[Interval], duration_s: float, overrides: Sequence[Override]
) -> Iterator[tuple[float, float, str]]:
    """Start, end and cause of what is not kept of a recording.

    The cause is "override" where a row of `overrides.csv` cuts part of the piece, else "speech".

    Example:
        >>> list(cuts_between([(0.0, 2.0), (5.0, 9.0)], 9.0, []))
        [(2.0, 5.0, 'speech')]
    """
    edges = [0.0, *[edge for interval in kept for edge in interval], duration_s]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start > 1e-9:
            by_hand = any(
                o.action == "cut" and o.start_s < end and o.end_s > start for o in overrides
            )
            yield start, end, "override" if by_hand else "speech"


def check_rejected(
    rejected: Mapping[str, str], recordings: Collection[str], shard: str, rules: CleaningRules
) -> None:
    """Refuse a shard of which too much was rejected.

    Args:
        rejected: reasons by recording.
        recordings: all of the shard.
        shard: its name in the message.
        rules: `max_rejected` is the largest share that is allowed.

    Raises:
        TooManyRejected: with the first of the reasons.
    """
    if len(rejected) <= FEW_REJECTED or len(rejected) / len(recordings) <= rules.max_rejected:
        return
    name, reason = next(iter(rejected.items()))
    raise TooManyRejected(
        f"{len(rejected)} of {len(recordings)} recordings of {shard} were rejected, more than "
        f"clean.max_rejected = {rules.max_rejected}; the first: {name}: {reason}"
    )


def seconds(intervals: Sequence[Interval]) -> float:
    """How long intervals are together."""
    return sum(end - start for start, end in intervals)
