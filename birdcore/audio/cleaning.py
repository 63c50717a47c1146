"""Cleaning: recordings are decoded, measured and searched for speech; and read back trimmed.

No audio is written. What is cut is a table of seconds, so that it can be looked at and overruled;
whoever needs the sound decodes it again and trims it on the way (`kept_recordings`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from birdcore.audio.blocks import Block, Blocks, cache_blocks
from birdcore.audio.channels import channel_name
from birdcore.audio.cleaned import CleanedTables, read_kept
from birdcore.audio.decode import Audio, Rejected, decode
from birdcore.audio.quality import Quality, quality
from birdcore.audio.reading import AS_IT_IS, Reading
from birdcore.audio.resample import SPEECH_RATE, resample_blocks, resample_recording
from birdcore.audio.rules import (
    CleaningRules,
    cuts_between,
    kept_of,
    rejection_reason,
    removes_speech,
    seconds,
)
from birdcore.audio.trim import Interval, Override, trim
from birdcore.store.artifact import Progress


@dataclass(frozen=True)
class Recording:
    """A file to clean: its name in the tables, where it lies, and the sha256 of its content."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class _Measured:
    """What is known of a recording without its samples, which are not held."""

    recording: Recording
    rate: int
    speed: float
    channels: int
    truncated: bool
    problem: str
    note: str
    quality: Quality


def clean_recordings(
    recordings: Sequence[Recording],
    rules: CleaningRules | None,
    overrides: Mapping[str, Sequence[Override]],
    progress: Progress,
    unsearched: Collection[str] = (),
    reading: Reading = AS_IT_IS,
) -> CleanedTables:
    """Decide for each recording what of it is used.

    Args:
        recordings: the files, in the order in which they are worked on.
        rules: settings for training recordings; None for soundscapes, of which all that can be
            decoded is kept, since the names of their rows are times of the clock.
        overrides: decisions made by hand, by recording.
        progress: is called with how many recordings are done, how many there are, and a name.
        unsearched: recordings in which no speech is looked for.
        reading: how files are read.
    """
    tables = CleanedTables()
    readable = _measured(recordings, tables.rejected, progress, frozenset(unsearched), reading)
    for measured, speech in _with_speech(readable, rules):
        name, found = measured.recording.name, measured.quality
        by_hand = overrides.get(name, ())
        if rules is None:
            kept, reason = [(0.0, found.duration_s)], ""
        else:
            cut = speech if removes_speech(rules, measured.recording.sha256) else []
            kept = kept_of(found.duration_s, cut, by_hand, rules)
            reason = rejection_reason(measured.problem, found, kept, rules)
        if reason:
            tables.rejected[name] = reason
            continue
        tables.kept += [{"recording": name, "from": start, "to": end} for start, end in kept]
        tables.cuts += [
            {"recording": name, "action": "cut", "from": start, "to": end, "by": cause}
            for start, end, cause in cuts_between(kept, found.duration_s, by_hand)
        ]
        texts = filter(None, (measured.problem, measured.note))
        tables.problems += [{"recording": name, "problem": text} for text in texts]
        spoken = seconds(speech)
        tables.recordings.append(
            {"recording": name, "rate": measured.rate, "channels": measured.channels,
             "truncated": measured.truncated, **asdict(found), "speech_s": spoken,
             "speech_share": spoken / found.duration_s, "kept_s": seconds(kept)}
        )  # fmt: skip
    return tables


def kept_recordings(
    table: Path,
    locate: Callable[[str], Path],
    rate: int,
    fade_s: float,
    progress: Progress,
    reading: Reading = AS_IT_IS,
) -> Iterator[tuple[str, Blocks]]:
    """What cleaning kept of each recording, trimmed and resampled.

    Features and an external teacher both read recordings here, so that a second in one is the
    same second in the other.

    Args:
        table: `kept.parquet` of cleaning.
        locate: gives the file of a recording by its name.
        rate: samples per second of what is returned, at the true speed.
        fade_s: seconds of the cross-fade where pieces are joined, at the recording's own rate.
        progress: is called with how many recordings are done, how many there are, and a name.
        reading: how files are read.

    Yields:
        The name of a recording, or of a channel of it where each is read, and its blocks of mono
        samples, one sample or more in all.
    """
    kept = read_kept(table)
    for done, (name, intervals) in enumerate(kept.items()):
        progress(done, len(kept), name)
        for called, audio in _recordings_of(name, locate(name), reading):
            yield called, cache_blocks(_trimmed(audio, intervals, fade_s, rate))
    progress(len(kept), len(kept), "")


def _recordings_of(name: str, path: Path, reading: Reading) -> Iterator[tuple[str, Audio]]:
    """A file as one recording, or each of its channels if it has several and each is read.

    Channels without any sound are left out where another has some: a microphone that was not there
    has heard nothing of what the labels say.
    """
    if reading.channels != "each":
        yield name, decode(path, reading)
        return
    audio, heard, channel = decode(path, reading, 0), False, 0
    if audio.channels == 1:
        yield name, audio
        return
    while True:
        last = channel == audio.channels - 1
        silent = not any(block.any() for block in audio.blocks())
        if not silent or (last and not heard):
            yield channel_name(name, channel), audio
            heard = True
        if last:
            return
        channel += 1
        audio = decode(path, reading, channel)


def _trimmed(audio: Audio, kept: Sequence[Interval], fade_s: float, rate: int) -> Blocks:
    def joined() -> Iterator[Block]:
        return trim(audio.blocks(), audio.frames, audio.rate, kept, fade_s)

    return resample_recording(joined, audio.true_rate, rate)


def _measured(
    recordings: Sequence[Recording],
    rejected: dict[str, str],
    progress: Progress,
    unsearched: Set[str],
    reading: Reading,
) -> Iterator[tuple[_Measured, Iterable[Block]]]:
    """Recordings that can be decoded with their quality, and their blocks at SPEECH_RATE: none
    where speech is not looked for."""
    for done, recording in enumerate(recordings):
        progress(done, len(recordings), recording.name)
        try:
            audio = decode(recording.path, reading)
        except Rejected as error:
            rejected[recording.name] = str(error)
            continue
        about = audio.rate, audio.speed, audio.channels, audio.truncated, audio.problem, audio.note
        measured = _Measured(recording, *about, quality(audio.blocks, audio.rate))
        searched = () if recording.name in unsearched else audio.blocks()
        yield measured, resample_blocks(searched, audio.true_rate, SPEECH_RATE)
        del audio
    progress(len(recordings), len(recordings), "")


def _with_speech(
    recordings: Iterable[tuple[_Measured, Iterable[Block]]], rules: CleaningRules | None
) -> Iterator[tuple[_Measured, list[Interval]]]:
    """Recordings with the intervals of speech in them, in seconds of the file."""
    if rules is None or rules.remove == "none":
        for measured, blocks in recordings:
            del blocks  # and with them the recording, before the next one is decoded
            yield measured, []
        return
    # Torch is loaded where speech is looked for, and nowhere else.
    from birdcore.audio.speech import SpeechSettings, detect_speech, speech_intervals

    settings = SpeechSettings(
        threshold=rules.threshold,
        min_speech_duration_ms=round(1000 * rules.min_speech_s),
        min_silence_duration_ms=round(1000 * rules.min_silence_s),
    )
    for measured, probabilities, samples in detect_speech(recordings):
        found = speech_intervals(probabilities, samples, settings)
        speed = measured.speed
        yield measured, [(start * speed, end * speed) for start, end in found]
