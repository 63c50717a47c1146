"""Soundscapes that are predicted where the test set is empty.

The public folder of a competition has no test soundscapes: they are there only when the
competition runs a notebook. Without any, a run would end with a header and no rows, and nobody
would see whether it predicts. So a dozen of the training soundscapes take their place. Models were
trained on them or on what a teacher says of them: their rows are a dry run, and are never scored.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from birdcore.csv_table import Problem, is_there
from birdcore.sources.soundscape_labels import (
    SOUNDSCAPE_LABELS,
    LabelledWindow,
    read_soundscape_labels,
)
from birdcore.sources.soundscapes import NO_TEST
from birdcore.sources.source import STAND_INS, Source, Subset

COUNT = 12
"""Enough rows to look at, and a minute's work."""


def with_stand_ins(source: Source) -> Source:
    """A source with training soundscapes in place of test ones, where there are none of these.

    Args:
        source: A data folder; where something in its test folder is passed over, the test set is
            not empty, and the source stays as it is.

    Raises:
        TableError: The table of labelled soundscapes can't be read.
    """
    test, others = source.subset("test"), source.subset("unlabelled")
    passed_over = any(each.where.startswith(f"{test.name}/") for each in source.problems)
    if test.files or passed_over or not others.files:
        return source
    names = [file.path for file in others.files]
    chosen = frozenset(stand_ins(names, _labelled(source, names)))
    files = tuple(file for file in others.files if file.path in chosen)
    detail = (
        f"{len(files)} of {others.name} are predicted in their place: a dry run of what models "
        "may have been trained on, which is not scored"
    )
    subsets = [each for each in source.subsets if each is not test]
    return replace(
        source,
        subsets=(*subsets, Subset(STAND_INS, "test", files)),
        problems=(*source.problems, Problem(NO_TEST, test.name, detail)),
    )


def stand_ins(
    names: Sequence[str], windows: Sequence[LabelledWindow], count: int = COUNT
) -> list[str]:
    """Which soundscapes stand in, in the order of their names.

    Args:
        names: The soundscapes that are there.
        windows: What is known of some of them.
        count: How many are wanted.

    Returns:
        Labelled ones first, then those without labels, then labelled ones that alone have a class,
        which train in every fold; among equals those of the lowest hash of the name, so that a new
        soundscape moves few others.
    """
    heard = {name: set[str]() for name in names}
    labelled = set()
    for window in windows:
        heard[window.recording].update(window.labels)
        labelled.add(window.recording)
    files_of = Counter(label for labels in heard.values() for label in labels)

    def place(name: str) -> tuple[int, str]:
        alone = any(files_of[label] == 1 for label in heard[name])
        rank = 2 if alone else 0 if name in labelled else 1
        return rank, hashlib.sha256(name.encode()).hexdigest()

    return sorted(sorted(names, key=place)[:count])


def _labelled(source: Source, names: Sequence[str]) -> tuple[LabelledWindow, ...]:
    tables = (source.root / name for name in SOUNDSCAPE_LABELS)
    return tuple(
        window
        for table in tables
        if is_there(table)
        for window in read_soundscape_labels(table, names).windows
    )
