"""What sources without a competition's tables share: the recordings of a folder, by use.

Which of them are set aside for the test is a setting; what the others are used for is a matter of
the layout.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from birdcore.config.data import Data
from birdcore.csv_table import Problem, TableError, is_there
from birdcore.sources.catalog import RECORDINGS
from birdcore.sources.class_names import CLASSES
from birdcore.sources.listing import list_audio
from birdcore.sources.overrides import OVERRIDES, read_overrides
from birdcore.sources.source import MAIN, Source, SourceFile, Subset, Use
from birdcore.store.digests import Digester

SUBSETS: dict[Use, str] = {
    "labelled": "clips",
    "annotated": "annotated",
    "unlabelled": "unlabelled",
    "test": "test",
}
"""What shards and steps of the recordings of a use are called."""


def read_listing(root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """The recordings below a folder by name, and what is passed over.

    Raises:
        TableError: There is none.
    """
    listing = list_audio(root, "")
    if not listing.audio:
        why = [f"; {problem.where}: {problem.problem}" for problem in listing.passed_over[:1]]
        raise TableError(f"{root}: no recording is in it{''.join(why)}")
    return listing.audio, listing.passed_over


def split_test(names: Sequence[str], data: Data, root: Path) -> tuple[list[str], list[str]]:
    """Recordings that may train, and those of the test.

    Raises:
        ValueError: A pattern of `data.test` fits no recording.
    """
    for pattern in data.test:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"data.test: no recording of {root} fits {pattern!r}; the first is {names[0]!r}"
            )
    test = [name for name in names if any(fnmatchcase(name, each) for each in data.test)]
    own = set(test)
    return [name for name in names if name not in own], test


def folder_source(
    root: Path,
    store: Digester,
    layout: str,
    by_use: Mapping[Use, Sequence[str]],
    paths: Mapping[str, Path],
    tables: Sequence[str],
    data: Data,
    problems: Sequence[Problem],
) -> Source:
    """The source of a folder whose recordings have been told apart.

    Args:
        root: The folder.
        store: Remembers digests.
        layout: Its name in `SOURCES`.
        by_use: Names of recordings.
        paths: Files by name.
        tables: Names of the tables that labels are read from.
        data: The recipe's.
        problems: What does not fit.
    """
    tables = [*tables, *([CLASSES] if is_there(root / CLASSES) and CLASSES not in tables else [])]
    named = [name for names in by_use.values() for name in names]
    read = store.digests([*(paths[name] for name in named), *(root / t for t in tables)])
    labelled = {*by_use.get("labelled", ()), *by_use.get("annotated", ())}
    return Source(
        name=MAIN,
        layout=layout,
        root=root.absolute(),
        subsets=tuple(
            Subset(
                SUBSETS[use],
                use,
                tuple(
                    SourceFile(name, read[paths[name]].bytes, read[paths[name]].sha256)
                    for name in sorted(names)
                ),
            )
            for use, names in by_use.items()
        ),
        tables={name: read[root / name].sha256 for name in tables},
        overrides=read_overrides(root / OVERRIDES, labelled),
        problems=tuple(problems),
        settings=data.model_dump(mode="json", exclude_defaults=True, exclude={"layout", "test"}),
    )


def recording_rows(audio: Mapping[str, str], labels: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Rows of a catalogue: recordings with their labels, the first of which is the primary one.

    Args:
        audio: sha256 by recording.
        labels: Those of clips; other recordings are not usable as clips.
    """
    rows = pd.DataFrame({"recording": sorted(audio)})
    rows["sha256"] = rows["recording"].map(audio)
    rows["primary_label"] = [labels.get(name, ("",))[0] for name in rows["recording"]]
    rows["secondary_labels"] = [list(labels.get(name, ())[1:]) for name in rows["recording"]]
    rows["usable"] = rows["recording"].isin(labels)
    for field in RECORDINGS:
        if field.name not in rows:
            rows[field.name] = "" if str(field.type) == "string" else float("nan")
    return pd.DataFrame(rows, columns=RECORDINGS.names)
