"""What to look at and listen to: the surest hits, the worst misses and false alarms, the cuts.

Pictures show the cached mel, which is what the models read. Sounds are short and small, raised to
one level, and lie beside the page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdcore.audio.channels import channel_name, file_and_channel, file_of
from birdcore.audio.cleaned import KEPT, read_kept
from birdcore.audio.decode import Rejected, decode
from birdcore.audio.resample import resample
from birdcore.audio.trim import trim
from birdcore.features.front_end import FrontEnd, encode_recording, length_and_peak
from birdcore.features.scale import (
    AnyScale,
    Codes,
    ValueScale,
    WaveScale,
    decode_db,
    decode_samples,
    decode_values,
)
from birdcore.features.shard_reader import MelShard
from birdcore.report.clips import excerpt, picture, picture_of_samples, write_sound
from birdcore.report.evaluation import Evaluation
from birdcore.report.inputs import ReportInputs
from birdcore.store.artifact import Artifact

OF_EACH = 6
"""How many hits, misses and false alarms are shown."""
OF_CUTS = 8
WHOLE_S = 10.0
"""Seconds shown of a recording that is evaluated as a whole, from its start."""
CUT_S, AROUND_S = 5.0, 1.0
"""Seconds shown of a cut, at most, and of what is kept before and after it."""


@dataclass(frozen=True)
class Example:
    """A piece of a recording in picture and sound.

    Attributes:
        picture: a `data:` URL.
        sound: a file beside the page; empty where the recording can't be read.
        label, probability: of the class for which the piece is shown.
        also: other classes that are present.
        gone: for a cut, the part of the picture (from, to; 0 to 1) that was cut; else None.
        by: what cut it: "speech" or "override".
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


def select_examples(evaluation: Evaluation) -> dict[str, list[tuple[int, int]]]:
    """(row, class) of hits, misses and false alarms, the most telling first.

    No two of a kind share a row or a class. Hits come from the upper half of the probabilities of
    present classes, misses from the lower half.
    """
    available = np.array([bool(name) for name in evaluation.recordings], bool)[:, None]
    right = _highest_first(np.argwhere(evaluation.truth & available), evaluation)
    # Only the highest of each class: there are millions of cells that are not true.
    alarms = np.where(evaluation.truth | ~available, -1.0, evaluation.probabilities)
    wrong = np.stack([alarms.argmax(axis=0), np.arange(alarms.shape[1])], axis=1)
    wrong = _highest_first(wrong[alarms.max(axis=0) >= 0], evaluation)
    half = (len(right) + 1) // 2
    return {
        "hits": _distinct(right[:half]),
        "misses": _distinct(right[half:][::-1]),
        "false alarms": _distinct(wrong),
    }


def _highest_first(cells: NDArray[np.int64], evaluation: Evaluation) -> NDArray[np.int64]:
    return cells[np.argsort(-evaluation.probabilities[tuple(cells.T)], kind="stable")]


def _distinct(cells: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first cells of which no two share a row or a class."""
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


def evaluation_examples(inputs: ReportInputs, evaluation: Evaluation) -> dict[str, list[Example]]:
    """Pictures and sounds of the selected examples; sounds are written beside the page."""
    cells = select_examples(evaluation)
    names = {evaluation.recordings[row] for of_kind in cells.values() for row, _ in of_kind}
    shards, kept = _shards_of(inputs.mels, names), _kept_of(inputs.evaluated, names)
    return {
        kind: [
            _example(inputs, evaluation, cell, shards, kept, f"{kind.replace(' ', '-')}-{n}")
            for n, cell in enumerate(of_kind, 1)
            # A soundscape that can't be read was rejected, and has no mel.
            if evaluation.recordings[cell[0]] in shards
        ]
        for kind, of_kind in cells.items()
    }


def _example(
    inputs: ReportInputs,
    evaluation: Evaluation,
    cell: tuple[int, int],
    shards: dict[str, MelShard],
    kept: dict[str, list[tuple[float, float]]],
    stem: str,
) -> Example:
    row, column = cell
    name, start_s = evaluation.recordings[row], evaluation.starts_s[row]
    shard = shards[name]
    rate, index = shard.spec.frame_rate, _row_of(shard, name)
    assert index is not None, "chosen among those that have a mel"
    file, channel = file_and_channel(name)
    frames = int(shard.lengths[index])
    duration_s = min(frames / rate - start_s, evaluation.duration_s or WHOLE_S)
    end_s = start_s + max(duration_s, 1 / rate)
    first = min(int(start_s * rate), frames - 1)
    last = min(first + round((end_s - start_s) * rate), frames)
    present = np.flatnonzero(evaluation.truth[row])
    return Example(
        recording=name,
        start_s=start_s,
        end_s=end_s,
        picture=_picture(shard.part(index, first, last), shard.spec, shard.scale),
        sound=_kept_sound(inputs, file, channel, kept[file], start_s, end_s, stem),
        label=evaluation.classes[column],
        probability=float(evaluation.probabilities[row, column]),
        also=tuple(evaluation.classes[c] for c in present if c != column),
    )


def _picture(codes: Codes, spec: FrontEnd, scale: AnyScale) -> str:
    """Codes (frames, bins) as a `data:` URL; of several channels the first."""
    first = codes[:, : spec.bins // spec.input_channels]
    if isinstance(scale, WaveScale):
        return picture_of_samples(decode_samples(first, scale).ravel(), spec.sample_rate)
    if isinstance(scale, ValueScale):
        return picture(decode_values(first, scale))
    return picture(decode_db(first, scale))


def _shards_of(mels: Sequence[Artifact], names: set[str]) -> dict[str, MelShard]:
    """The shard of each recording's mel; rejected recordings have none."""
    found: dict[str, MelShard] = {}
    files = {file_of(name) for name in names}
    for artifact in mels:
        if files & artifact.manifest.sources.keys():
            shard = MelShard.open(artifact / "mel.parquet")
            found |= {name: shard for name in names if _row_of(shard, name) is not None}
    return found


def _row_of(shard: MelShard, name: str) -> int | None:
    """The row of a recording, or of the first of its channels where these have rows of their own;
    None where it has none."""
    return shard.index.get(name, shard.index.get(channel_name(name, 0)))


def _kept_of(cleaned: Sequence[Artifact], names: set[str]) -> dict[str, list[tuple[float, float]]]:
    """The intervals in seconds that cleaning kept of each recording."""
    names = {file_of(name) for name in names}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for artifact in cleaned:
        if names & artifact.manifest.sources.keys():
            kept = read_kept(artifact / KEPT)
            found |= {name: kept[name] for name in names & kept.keys()}
    return found


def _kept_sound(
    inputs: ReportInputs,
    name: str,
    channel: int | None,
    kept: list[tuple[float, float]],
    start_s: float,
    end_s: float,
    stem: str,
) -> str:
    """An excerpt of the kept audio, on the time axis of the mel; empty if it can't be decoded."""
    try:
        audio = decode(inputs.locate(name), inputs.settings.mel.reading, channel)
    except Rejected:
        return ""
    joined = trim(audio.blocks(), audio.frames, audio.rate, kept, 0.0)
    samples = excerpt(joined, audio.rate, start_s, end_s)
    return write_sound(inputs.folder, samples, audio.rate, stem)


def cut_examples(inputs: ReportInputs) -> list[Example]:
    """Some cuts of cleaning, from the longest to the shortest, at most one a recording."""
    cleaned = [shard for shards in inputs.cleaned.values() for shard in shards]
    tables = [pd.read_parquet(shard / "cuts.parquet") for shard in cleaned]
    selected = select_cuts(pd.concat(tables), inputs.readable) if tables else []
    found = []
    for n, one in enumerate(selected, 1):
        try:
            found.append(_cut_example(inputs, one, f"cut-{n}"))
        except Rejected:
            continue
    return found


def _cut_example(inputs: ReportInputs, one: "Cut", stem: str) -> Example:
    spec = inputs.settings.mel
    scale = spec.scale("uint8")
    audio = decode(inputs.locate(one.recording), spec.reading)
    shown_s = min(one.end_s, one.start_s + CUT_S)
    start_s = max(0.0, one.start_s - AROUND_S)
    samples = excerpt(audio.blocks(), audio.rate, start_s, shown_s + AROUND_S)
    seconds = len(samples) / audio.rate
    resampled = resample(samples, audio.true_rate, spec.sample_rate)
    _, peak = length_and_peak([resampled])
    codes = np.concatenate(list(encode_recording([resampled], peak, spec, scale)))
    return Example(
        recording=one.recording,
        start_s=one.start_s,
        end_s=one.end_s,
        picture=_picture(codes, spec, scale),
        sound=write_sound(inputs.folder, samples, audio.rate, stem),
        gone=((one.start_s - start_s) / seconds, min(1.0, (shown_s - start_s) / seconds)),
        by=one.by,
    )


@dataclass(frozen=True)
class Cut:
    """A row of `cuts.parquet`."""

    recording: str
    start_s: float
    end_s: float
    by: str


def select_cuts(cuts: pd.DataFrame, readable: Iterable[str]) -> list[Cut]:
    """At most `OF_CUTS` cuts, evenly spaced by rank of length, one a recording."""
    cuts = cuts[cuts["recording"].isin(set(readable))]
    cuts = cuts.assign(length=cuts["to"] - cuts["from"])
    cuts = cuts.sort_values(["length", "recording"], ascending=[False, True], kind="stable")
    cuts = cuts.drop_duplicates("recording")
    ranks = np.unique(np.linspace(0, len(cuts) - 1, OF_CUTS).round().astype(int))
    columns = cuts.iloc[ranks[: len(cuts)]][["recording", "from", "to", "by"]]
    return [Cut(*row) for row in columns.itertuples(index=False, name=None)]
