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

from birdcore.csv_table import Problem
from birdcore.sources.birdclef_windows import labelled_windows
from birdcore.sources.soundscape_labels import LabelledWindow
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
    test = source.subset("test")
    subsets = (source.subset("unlabelled"), source.subset("annotated"))
    others = {file.path: file for subset in subsets for file in subset.files}
    passed_over = any(each.where.startswith(f"{test.name}/") for each in source.problems)
    if test.files or passed_over or not others:
        return source
    names = list(others)
    windows = labelled_windows(source.root, names).windows
    files = tuple(others[name] for name in stand_ins(names, windows))
    detail = (
        f"{len(files)} training soundscapes are predicted in their place: a dry run of what models "
        "may have been trained on, which is not scored"
    )
    kept = [each for each in source.subsets if each is not test]
    return replace(
        source,
        subsets=(*kept, Subset(STAND_INS, "test", files)),
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
