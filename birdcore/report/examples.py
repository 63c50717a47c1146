"""What to look at and listen to: the surest hits, the worst misses, the worst false alarms.

Pictures are of the cached mel, which is what the models read. Sounds are short and small, raised
to one level, and lie beside the page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from numpy.typing import NDArray

from birdcore.audio.blocks import Block, Reader
from birdcore.audio.decode import Rejected, decode
from birdcore.audio.resample import resample
from birdcore.audio.trim import cut
from birdcore.features.scale import Scale, decode_db, encode
from birdcore.features.shard import MelShard
from birdcore.features.spec import MelSpec
from birdcore.features.spectrogram import mel_energy
from birdcore.report.evaluation import Judged
from birdcore.report.picture import picture
from birdcore.store.artifact import Artifact
from birdcore.store.store import Job

OF_EACH = 6
"""Hits, misses and false alarms that are shown."""
OF_CUTS = 8
WHOLE_S = 10.0
"""What is shown of a recording that is judged as a whole, from its beginning."""
CUT_S, AROUND_S = 5.0, 1.0
"""What is shown of a cut, at most, and of what is kept before and after it."""
SOUND_RATE = 24_000
LEVEL = 0.7

SOUNDS = "sounds"


@dataclass(frozen=True)
class Example:
    """A piece of a recording in picture and sound.

    `sound` is a file beside the page, or empty where the recording can't be read. `label` and
    `probability` are of the class it is shown for. Of a cut, `gone` says which share of the
    picture, from and to, is cut; else it is None.
    """

    recording: str
    start_s: float
    end_s: float
    picture: str
    sound: str
    label: str = ""
    probability: float = 0.0
    also: tuple[str, ...] = ()
    gone: tuple[float, float] | None = None
    by: str = ""


def chosen(judged: Judged) -> dict[str, list[tuple[int, int]]]:
    """Rows and classes of hits, misses and false alarms, the most telling first.

    One of each class and row at most; hits are of the upper half of what is true, misses of the
    lower.
    """
    there = np.array([bool(name) for name in judged.recordings], bool)[:, None]
    right = _highest_first(np.argwhere(judged.truth & there), judged)
    # The highest of each class alone: what is not true are millions of cells.
    alarms = np.where(judged.truth | ~there, -1.0, judged.probabilities)
    wrong = np.stack([alarms.argmax(axis=0), np.arange(alarms.shape[1])], axis=1)
    wrong = _highest_first(wrong[alarms.max(axis=0) >= 0], judged)
    half = (len(right) + 1) // 2
    return {
        "hits": _one_of_each(right[:half]),
        "misses": _one_of_each(right[half:][::-1]),
        "false alarms": _one_of_each(wrong),
    }


def _highest_first(cells: NDArray[np.int64], judged: Judged) -> NDArray[np.int64]:
    return cells[np.argsort(-judged.probabilities[tuple(cells.T)], kind="stable")]


def _one_of_each(cells: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first cells, of which no two share a row or a class."""
    found: list[tuple[int, int]] = []
    rows, columns = set(), set()
    for row, column in cells.tolist():
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            found.append((row, column))
            if len(found) == OF_EACH:
                break
    return found


def examples(
    job: Job, judged: Judged, mels: Sequence[Artifact], cleaned: Sequence[Artifact]
) -> dict[str, list[Example]]:
    """Pictures and sounds of what `chosen` chooses; sounds are written to the job's folder."""
    cells = chosen(judged)
    names = {judged.recordings[row] for of_kind in cells.values() for row, _ in of_kind}
    stored = _stored(mels, names)
    kept = _kept(cleaned, names)
    made: dict[str, list[Example]] = {}
    for kind, of_kind in cells.items():
        made[kind] = []
        for at, (row, column) in enumerate(of_kind):
            name, start = judged.recordings[row], judged.starts[row]
            if name not in stored:
                continue  # rejected, as a soundscape that can't be read is
            shard, rate = stored[name], stored[name].spec.frame_rate
            frames = int(shard.lengths[shard.index[name]])
            length_s = min(frames / rate - start, judged.length_s or WHOLE_S)
            end = start + max(length_s, 1 / rate)
            first = min(int(start * rate), frames - 1)
            last = min(first + round((end - start) * rate), frames)
            codes = shard.part(shard.index[name], first, last)
            stem = f"{kind.replace(' ', '-')}-{at + 1}"
            made[kind].append(
                Example(
                    recording=name,
                    start_s=start,
                    end_s=end,
                    picture=picture(decode_db(codes, shard.scale)),
                    sound=_sound(job, name, kept[name], start, end, stem),
                    label=judged.classes[column],
                    probability=float(judged.probabilities[row, column]),
                    also=_others(judged, row, column),
                )
            )
    return made


def _others(judged: Judged, row: int, column: int) -> tuple[str, ...]:
    """The other classes that are true there."""
    true = np.flatnonzero(judged.truth[row])
    return tuple(judged.classes[c] for c in true if c != column)


def cuts(job: Job, cleaned: Sequence[Artifact], spec: MelSpec, scale: Scale) -> list[Example]:
    """What cleaning cut, from the longest to the shortest, of a recording each."""
    tables = [pd.read_parquet(artifact / "cuts.parquet") for artifact in cleaned]
    made = []
    for at, row in enumerate(_spread(pd.concat(tables), job.step.files) if tables else ()):
        try:
            audio = decode(job.source(row.recording))
        except Rejected:
            continue
        start, end = max(0.0, row.start - AROUND_S), min(row.end, row.start + CUT_S) + AROUND_S
        piece = _piece(audio.blocks(), audio.rate, start, end)
        seconds = len(piece) / audio.rate
        samples = resample(piece, audio.rate, spec.sample_rate)
        samples = samples / max(float(np.abs(samples).max()), 1e-9)  # as the cached mel is
        codes = encode(mel_energy(samples, spec), spec.power, scale)
        made.append(
            Example(
                recording=row.recording,
                start_s=row.start,
                end_s=row.end,
                picture=picture(decode_db(codes, scale)),
                sound=_written(job, piece, audio.rate, f"cut-{at + 1}"),
                gone=(
                    (row.start - start) / seconds,
                    min(1.0, (min(row.end, row.start + CUT_S) - start) / seconds),
                ),
                by=row.by,
            )
        )
    return made


@dataclass(frozen=True)
class _Cut:
    recording: str
    start: float
    end: float
    by: str


def _spread(cuts: pd.DataFrame, readable: Iterable[str]) -> list[_Cut]:
    cuts = cuts[cuts["recording"].isin(set(readable))]
    cuts = cuts.assign(length=cuts["to"] - cuts["from"])
    cuts = cuts.sort_values(["length", "recording"], ascending=[False, True], kind="stable")
    cuts = cuts.drop_duplicates("recording")
    at = np.unique(np.linspace(0, len(cuts) - 1, OF_CUTS).round().astype(int))
    columns = cuts.iloc[at[: len(cuts)]][["recording", "from", "to", "by"]]
    return [_Cut(*row) for row in columns.itertuples(index=False, name=None)]


def _stored(mels: Sequence[Artifact], names: set[str]) -> dict[str, MelShard]:
    """The shard that each recording's mel is in; rejected recordings have none."""
    found: dict[str, MelShard] = {}
    for artifact in mels:
        if names & artifact.manifest.sources.keys():
            shard = MelShard.open(artifact / "mel.parquet")
            found |= dict.fromkeys(names & shard.index.keys(), shard)
    return found


def _kept(cleaned: Sequence[Artifact], names: set[str]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for artifact in cleaned:
        if names & artifact.manifest.sources.keys():
            table = pd.read_parquet(artifact / "kept.parquet")
            for name, start, end in table[table["recording"].isin(names)].itertuples(index=False):
                found[name].append((start, end))
    return found


def _sound(
    job: Job, name: str, kept: list[tuple[float, float]], start: float, end: float, stem: str
) -> str:
    """Seconds of what was kept of a recording, as the mel has them."""
    try:
        audio = decode(job.source(name))
    except Rejected:
        return ""
    joined = cut(audio.blocks(), audio.frames, audio.rate, kept, 0.0)
    return _written(job, _piece(joined, audio.rate, start, end), audio.rate, stem)


def _piece(blocks: Iterable[Block], rate: int, start: float, end: float) -> Block:
    """Samples from start to end, in seconds; one where there are none."""
    reader = Reader(blocks)
    reader.skip(int(start * rate))
    samples = reader.take(round(end * rate) - reader.position)
    return samples if samples.size else np.zeros(1, np.float32)


def _written(job: Job, samples: NDArray[np.float32], rate: int, stem: str) -> str:
    folder: Path = job.folder / SOUNDS
    folder.mkdir(exist_ok=True)
    small = resample(samples, rate, SOUND_RATE)
    loudest = float(np.abs(small).max()) if small.size else 0.0
    sf.write(folder / f"{stem}.mp3", small * (LEVEL / max(loudest, 1e-6)), SOUND_RATE)
    return f"{SOUNDS}/{stem}.mp3"
