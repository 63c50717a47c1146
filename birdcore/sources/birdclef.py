"""A BirdCLEF+ folder as a source: its tables, and its audio files with their content's sha256."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pandas as pd

from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.config import Recipe
from birdcore.csv_table import Problem, TableError, is_there
from birdcore.sources.birdclef_windows import (
    LABELLED_SOUNDSCAPES,
    annotated_windows,
    labelled_windows,
)
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.listing import list_audio
from birdcore.sources.overrides import OVERRIDES, read_overrides
from birdcore.sources.soundscape_labels import SOUNDSCAPE_LABELS
from birdcore.sources.source import MAIN, TEST_TABLE, Source, SourceFile, Subset
from birdcore.sources.tables import TRAIN_TEXT, Tables, read_tables
from birdcore.store.artifact import Metrics, Progress
from birdcore.store.digests import Digester
from birdcore.store.job import no_progress
from birdcore.unicode_names import by_casefold, is_utf8, nfc, printable


def read(folder: Path, store: Digester, recipe: Recipe, main: Source | None) -> Source:
    """See `birdcore.sources.source.Layout.read`; a recipe asks for nothing of a data folder."""
    return scan(folder, store)


def scan(root: Path, store: Digester, progress: Progress = no_progress) -> Source:
    """The data folder's audio files, tables and overrides.

    Args:
        root: A BirdCLEF+ folder.
        store: Remembers the digests of files that did not change.
        progress: Told how many files were read.

    Raises:
        TableError: The folder or a table in it can't be used, or no row of its table fits a file.

    Example:
        >>> source = scan(Path("birdclef-2026"), Store(Path("store")))  # doctest: +SKIP
        >>> len(source.subset("labelled").files)  # doctest: +SKIP
        35549
    """
    if not root.is_dir():
        raise TableError(f"{printable(str(root))}: there is no such data folder")
    if not is_utf8(str(root.absolute())):
        raise TableError(f"{printable(str(root))}: the data folder's name is not UTF-8: rename it")
    metadata = read_tables(root)  # before any work: a table that can't be used stops the run
    layout = metadata.layout
    found = {folder: list_audio(root, folder) for folder in layout.folders}
    problems = [problem for folder in layout.folders for problem in found[folder].passed_over]
    labelled = found[layout.clips].audio
    _refuse_unfit(root, metadata, labelled.keys(), problems)
    asked = [TEST_TABLE] if metadata.asked.table == TEST_TABLE else []
    names = (*layout.tables, *asked, *SOUNDSCAPE_LABELS)
    tables = [root / name for name in names if is_there(root / name)]
    windows = labelled_windows(root, found[layout.soundscapes].audio)
    paths = [path for listing in found.values() for path in listing.audio.values()]
    read = store.digests(paths + tables, progress)
    passed_over = _passed_over(metadata, labelled.keys(), problems)
    contents = {name: read[path].sha256 for name, path in labelled.items()}
    annotated = {window.recording for window in windows.windows}

    def files(folder: str, *, with_labels: bool = False) -> tuple[SourceFile, ...]:
        return tuple(
            SourceFile(name, read[path].bytes, read[path].sha256)
            for name, path in found[folder].audio.items()
            if (name in annotated) == with_labels
        )

    subsets = [Subset(folder, use, files(folder)) for folder, use in layout.folders.items()]
    if annotated:
        heard = files(layout.soundscapes, with_labels=True)
        subsets.append(Subset(LABELLED_SOUNDSCAPES, "annotated", heard))
    return Source(
        name=MAIN,
        root=root.absolute(),
        subsets=tuple(subsets),
        tables={path.name: read[path].sha256 for path in tables},
        metadata=metadata,
        overrides=read_overrides(root / OVERRIDES, labelled.keys()),
        groups=_groups(metadata),
        problems=tuple(problems),
        passed_over=passed_over,
        table_problems=(*_problems(metadata, contents, passed_over), *windows.problems),
    )


def _groups(tables: Tables) -> dict[str, str]:
    """The group of each recording's primary class, where the taxonomy has one."""
    taxonomy = tables.taxonomy
    of_class = dict(zip(taxonomy["primary_label"], taxonomy["class_name"], strict=True))
    of_recording = zip(tables.train["recording"], tables.train["primary_label"], strict=True)
    return {name: group for name, label in of_recording if (group := of_class.get(label))}


def _passed_over(tables: Tables, labelled: Set[str], problems: Sequence[Problem]) -> dict[str, str]:
    """Files that rows name and that are there, but passed over, with the reason."""
    why = {nfc(problem.where): problem.problem for problem in problems}
    return {
        name: why[str(part)]
        for name in tables.train["recording"].unique()
        if name not in labelled
        for part in (PurePosixPath(name), *PurePosixPath(name).parents)
        if str(part) in why
    }


def _refuse_unfit(
    root: Path, tables: Tables, labelled: Set[str], problems: Sequence[Problem]
) -> None:
    """Raise TableError where nothing could be trained on, for a reason that is known now."""
    layout = tables.layout
    if not labelled:
        why = f"; {problems[0].problem}: {problems[0].where}" if problems else ""
        raise TableError(
            f"{root}: no audio files in {layout.clips}/ (suffixes "
            f"{', '.join(sorted(AUDIO_SUFFIXES))}){why}"
        )
    table = root / layout.train
    rows = tables.train[tables.train["recording"].isin(labelled)]
    if rows.empty:
        raise TableError(
            f"{table}: no row fits a file of {layout.clips}/: the first row names "
            f"{tables.train['filename'].iloc[0]!r}, the first file is "
            f"{min(labelled).removeprefix(f'{layout.clips}/')!r}"
        )
    if not rows["primary_label"].isin(tables.labels).any():
        raise TableError(
            f"{table}: no label of it is a class: the first is "
            f"{rows['primary_label'].iloc[0]!r}, the first class is {tables.labels[0]!r}"
        )


def catalog(given: CatalogInput) -> Catalog:
    """The catalogue of the folder's labelled recordings, with all that does not fit in it."""
    tables = replace(read_tables(given.root), labels=given.labels)
    soundscapes = f"{tables.layout.soundscapes}/"
    heard = {name: sha for name, sha in given.audio.items() if name.startswith(soundscapes)}
    clips = {name: sha for name, sha in given.audio.items() if name not in heard}
    recordings, species = _recordings(tables, clips, heard), _species(tables)
    usable = recordings[recordings["usable"]]
    problems = list(_problems(tables, clips, given.passed_over))
    annotated, of_windows = annotated_windows(given.root, heard, tables.labels)
    problems += of_windows
    metrics: Metrics = {
        "recordings": len(recordings),
        "usable": len(usable),
        "species": len(species),
        "species_with_recordings": int(species["label"].isin(usable["primary_label"]).sum()),
        "problems": len(problems),
    }
    if annotated is not None:
        counts = {"annotated": len(heard), "annotations": len(annotated.annotations)}
        metrics = {**metrics, **counts}
    return Catalog(recordings, species, tuple(problems), metrics, annotated)


def _recordings(
    tables: Tables, clips: Mapping[str, str], annotated: Mapping[str, str]
) -> pd.DataFrame:
    """One row per audio file; training files with what the table says of them."""
    train = tables.train.drop_duplicates("recording").drop(columns="filename")
    audio = {**clips, **annotated}
    found = pd.DataFrame({"recording": list(audio), "sha256": list(audio.values())})
    rows = found.merge(train, on="recording", how="left").sort_values("recording")
    known = set(tables.labels)
    rows["secondary_labels"] = [
        [label for label in labels if label in known] if isinstance(labels, list) else []
        for labels in rows["secondary_labels"]
    ]
    labelled = rows["primary_label"].isin(known)
    repeated = rows["sha256"].where(labelled).duplicated()
    rows["usable"] = labelled & ~repeated & ~rows["sha256"].isin(annotated.values())
    for column in TRAIN_TEXT:
        rows[column] = rows[column].fillna("")
    return rows.reset_index(drop=True)


def _species(tables: Tables) -> pd.DataFrame:
    """One row per class, in the order of the submission's columns."""
    taxonomy = tables.taxonomy.rename(columns={"primary_label": "label"})
    return pd.DataFrame({"label": list(tables.labels)}).merge(taxonomy, on="label", how="left")


def _problems(
    tables: Tables, audio: Mapping[str, str], unused: Mapping[str, str]
) -> Iterator[Problem]:
    """`audio`: sha256 by recording; `unused`: why files that are there are no recordings."""
    train, known = tables.train, set(tables.labels)
    other_case = by_casefold(audio)
    yield from tables.problems
    names = train["recording"]
    for line, name, label, secondary in zip(
        train.index, names, train["primary_label"], train["secondary_labels"], strict=True
    ):
        where = f"{tables.layout.train}:{line}"
        if name in unused:
            yield Problem("row whose file is passed over", where, f"{name}: {unused[name]}")
        elif name not in audio:
            near = other_case.get(name.casefold())
            yield Problem(
                "row without a file", where, name + (f"; there is {near}" if near else "")
            )
        for unknown in sorted({label, *secondary} - known):
            yield Problem("unknown label", where, unknown)
    for line in names.index[names.duplicated()]:
        yield Problem("file name there twice", f"{tables.layout.train}:{line}", names[line])
    labelled = set(names)
    first: dict[str, str] = {}
    for path in sorted(audio):
        if path not in labelled:
            yield Problem("file without a row", path, "")
        if (copied := first.setdefault(audio[path], path)) != path:
            yield Problem("content there twice", path, f"the same as {copied}")
    with_rows = set(train["primary_label"])
    for label in tables.labels:
        if label not in with_rows:
            yield Problem("species without a recording", "taxonomy", label)
