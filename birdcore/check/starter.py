"""A starter recipe: one of birdflow's own, with what the data and the machine make different.

Each line that it writes has its reason beside it, so that a person can disagree with it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any, NamedTuple

from birdcore.audio.header import Header
from birdcore.audio.reading import time_expansion
from birdcore.check.facts import ClassFacts, Groups
from birdcore.check.machine import Machine
from birdcore.check.reading import Reading
from birdcore.config.suggested_front_end import ULTRASONIC, suggest_front_end
from birdcore.sources.source import MAIN, TABLES
from birdcore.taxa import AVES, CHIROPTERA, group_of, group_of_class
from birdcore.text import first_of, plain_text

BIG_ENOUGH = 6 * 2**30
"""Bytes of a GPU on which recipes/gpu.toml trains, in batches of `SMALL_BATCH` below `ROOMY`."""
ROOMY = 14 * 2**30
SMALL_BATCH = 32
NO_GROUPS = "no table names groups (classes.csv, column group)"
ULTRASONIC_CROP_S = 1.0
"""Bats call for milliseconds, several times a second."""
SHORTEST_CROP_S = 0.5
USUAL_EXPANSION = 10.0
"""Times slower than life: what recorders of bats wrote before they wrote hundreds of kHz."""
LOOKED_AT = 200
"""Files of which metadata is read."""
MOST_FOLDS = 5
MOST_REPEATS = 30
MANY = 2_000
"""Recordings of which a shard may hold more than those of a small recipe."""


@dataclass(frozen=True)
class _Base:
    """A shipped recipe, and what of it depends on the amount of data.

    crops: of an epoch, which a small set reaches by repetition. epochs: with these. folds: how many
    are trained.
    """

    name: str
    crop_s: float
    crops: int
    epochs: int
    folds: int


SMALL = _Base("mini", 2.5, 2_200, 10, 2)
LARGE = _Base("gpu", 5.0, 6_400, 30, MOST_FOLDS)


def starter_recipe(
    reading: Reading,
    classes: Sequence[ClassFacts],
    groups: Groups,
    headers: Mapping[str, Header],
    machine: Machine,
) -> str:
    """A recipe for a folder, as TOML that `read_recipe` accepts.

    Args:
        reading: What the folder holds.
        classes: Its classes.
        groups: What folds can keep together.
        headers: Of the recordings that can be read.
        machine: Where it is to train.
    """
    assert reading.source is not None
    memory = max((memory for _, memory in machine.gpus), default=0)
    base = LARGE if memory >= BIG_ENOUGH else SMALL
    used = [
        headers[file.path]
        for use in ("labelled", "annotated")
        for file in reading.source.subset(use).files
        if file.path in headers
    ]
    soundscapes = bool(reading.source.subset("unlabelled").files)
    taxa = {each.group for each in classes} - {""}
    assumed = first_of(sorted(taxa), 3)
    if not taxa and (taxa := _groups_by_name(classes)):
        assumed = f"{first_of(sorted(taxa), 3)}, by the names of classes: {NO_GROUPS}"
    elif not taxa:
        assumed = f"birds: {NO_GROUPS}"
    expansion = _expansion(reading, headers, taxa)
    mel = _mel(used or list(headers.values()), taxa, base, expansion.speed)
    crop_s = _crop(used, mel["sample_rate"], base, expansion.speed)
    many = f"{len(classes)} {'class' if len(classes) == 1 else 'classes'}"
    name = plain_text(reading.source.root.name)
    lines = [
        f"# A starter recipe for {name}: {plain_text(reading.layout)}, {many},",
        f"# {len(used)} labelled recordings; for {plain_text(str(machine))}.",
        f'base = "{base.name}"',
    ]
    if not soundscapes:
        lines.append(
            'drop_rounds = ["student"]  # no unlabelled recordings that it could learn from'
        )
    lines += _data(reading)
    if len(used) > MANY and base is SMALL:
        lines += ["", "[shards]", "recordings = 128"]
    rates = Counter(header.rate for header in used)
    lines += ["", f"# For {plain_text(assumed)}; recordings of {_rates(rates)}.", "[mel]"]
    lines += [f"{key} = {value}" for key, value in mel.items()]
    lines += expansion.lines
    lines += _folds(classes, groups, base)
    mixed = all(reading.source.subset(use).files for use in ("labelled", "annotated"))
    lines += _train(len(used), crop_s, base, soundscapes=soundscapes, mixed=mixed)
    if base is LARGE and memory < ROOMY:
        lines.append(f"batch = {SMALL_BATCH}")
    lines += ["", "[[round]]", 'name = "supervised"', f"epochs = {_epochs(len(used), base)}"]
    if crop_s < SMALL.crop_s or crop_s > base.crop_s:
        lines += ["", "[predict]", f"step_s = {crop_s / 2:g}  # half a window"]
    return "\n".join(lines) + "\n"


def _groups_by_name(classes: Sequence[ClassFacts]) -> set[str]:
    """Groups that names of classes tell, and birds for the others; nothing where none tells any."""
    told = {group_of_class(each.label) or group_of_class(each.name) for each in classes}
    return {group or AVES for group in told} if told - {""} else set()


def _train(
    recordings: int, crop_s: float, base: _Base, *, soundscapes: bool, mixed: bool
) -> Iterator[str]:
    """The table [train], without what depends on the GPU."""
    repeat = min(MOST_REPEATS, max(1, ceil(base.crops / max(1, recordings))))
    yield from ("", "[train]", f"crop_s = {crop_s:g}")
    yield f"repeat = {repeat}  # crops of each recording in an epoch"
    if not soundscapes:
        yield "background = { probability = 0.0 }  # it is taken from unlabelled recordings"
    if mixed:
        yield "annotated = { mix = 0.5 }  # annotated recordings, mixed into clips as well"


def _epochs(recordings: int, base: _Base) -> int:
    """Fewer where an epoch has more crops than the base's; half as many at least on a GPU."""
    least = base.epochs // 2 if base is LARGE else 3
    fewer = base.epochs * base.crops // max(1, recordings)
    return min(base.epochs, max(least, fewer))


class _Expansion(NamedTuple):
    """How many times slower than life recordings are, and the lines of [mel] that say it."""

    speed: float = 1.0
    lines: tuple[str, ...] = ()


def _expansion(reading: Reading, headers: Mapping[str, Header], taxa: set[str]) -> _Expansion:
    """Time expansion: what files say of themselves, or what a rate too low for bats makes likely.

    Only files of a rate below `ULTRASONIC` are opened: the others are as fast as life.
    """
    assert reading.source is not None
    slow = [path for path, header in headers.items() if header.rate < ULTRASONIC]
    if len(slow) < len(headers) or not slow:
        return _Expansion()
    said = {time_expansion(reading.source.root / path) for path in slow[:LOOKED_AT]}
    if len(said) == 1 and said != {1.0}:
        return _Expansion(said.pop(), ('speed = "auto"  # as their GUANO chunks say (TE)',))
    if {group_of(taxon) for taxon in taxa} == {CHIROPTERA}:
        return _Expansion(
            USUAL_EXPANSION,
            (f"speed = {USUAL_EXPANSION:g}  # assumed: at their rate bats are heard slowed down",),
        )
    return _Expansion()


def _mel(headers: Sequence[Header], taxa: set[str], base: _Base, speed: float) -> dict[str, Any]:
    """Front end settings; on a CPU with half the bins and half the frames."""
    rates = Counter(round(header.rate * speed) for header in headers)
    suggested = suggest_front_end(rates, taxa)
    mel = suggested.model_dump(
        include={"sample_rate", "n_fft", "hop_length", "n_mels", "f_min", "f_max"}
    )
    if base is SMALL:
        mel |= {"n_mels": min(64, mel["n_mels"]), "hop_length": mel["n_fft"] // 2}
    return mel


def _crop(headers: Sequence[Header], sample_rate: int, base: _Base, speed: float) -> float:
    """As long as the base's crops, unless most recordings are shorter or the calls are; in seconds
    of the files."""
    longest = ULTRASONIC_CROP_S * speed if sample_rate >= ULTRASONIC else base.crop_s
    lengths = [header.seconds for header in headers if header.seconds]
    typical = median(lengths) if lengths else longest
    return min(longest, max(SHORTEST_CROP_S, int(typical * 2) / 2))


def _rates(rates: Mapping[int, int]) -> str:
    return first_of([f"{rate / 1000:g} kHz" for rate in sorted(rates)], 4)


def _data(reading: Reading) -> Iterator[str]:
    """The table [data], where the folder leaves something open."""
    assert reading.source is not None
    if reading.source.name == MAIN and reading.source.metadata is not None:
        return
    yield from ("", "[data]")
    if not reading.data.test:
        yield '# test = ["site3/*"]  # recordings to predict and never to train on, by their paths'
    if reading.source.layout == TABLES:
        yield from ("", "[data.annotations]")
        if (label := reading.data.annotations.label) is not None:
            written = json.dumps(plain_text(label), ensure_ascii=False)
            yield f"label = {written}  # tables name no label: say what they mark"
        yield "# complete = true  # where tables mark all that is heard of these classes"


def _folds(classes: Sequence[ClassFacts], groups: Groups, base: _Base) -> Iterator[str]:
    """As many folds as a typical class has groups, five at most."""
    several = [each.groups for each in classes if each.groups > 1]
    count = max(2, min(MOST_FOLDS, int(median(several)))) if several else 2
    yield from ("", f"# Kept together: {groups}.", "[folds]", f"count = {count}")
    yield f"train = {list(range(min(count, base.folds)))}"
