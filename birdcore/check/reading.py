"""Which layout a folder has, and what its tables and folders say, without a recipe.

A run reads the folder by the same functions, so that what it would pass over is known here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from birdcore.annotations.readers import format_of, passed_over
from birdcore.annotations.table import Table, find_tables
from birdcore.config import Recipe
from birdcore.config.data import Data
from birdcore.csv_table import Problem, TableError, is_there
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.class_names import CLASSES
from birdcore.sources.data_folder import layout_name
from birdcore.sources.listing import Listing
from birdcore.sources.soundscapes import soundscape_problems
from birdcore.sources.source import FOLDERS, MAIN, ROW_TABLES, SOURCES, TABLES, Source
from birdcore.sources.stand_ins import with_stand_ins
from birdcore.store.same_content import SameContent

NO_AUDIO = ("suffix of no known audio", True)
NO_LAYOUT = "none that is known"


@dataclass(frozen=True)
class Reading:
    """A folder as a run would read it.

    Attributes:
        layout: In words.
        why: By what it was told.
        data: The [data] that it needs.
        source: None where it can't be used.
        catalog: None where it can't be used.
        refused: Why not.
        problems: What is passed over, each once.
    """

    layout: str
    why: str
    data: Data
    source: Source | None
    catalog: Catalog | None
    refused: str
    problems: tuple[Problem, ...]


def read_folder(folder: Path, listing: Listing) -> Reading:
    """Read a folder of any layout.

    Args:
        folder: Where it lies.
        listing: All that lies in it.
    """
    layout = layout_name(folder)
    tables = [table for table in find_tables(folder)[0] if table.name != CLASSES]
    problems = list(listing.passed_over)
    if layout == FOLDERS:
        problems += _tables_not_read(tables)
    refused: list[str] = []
    for data in _ways(layout, folder):
        try:
            source = SOURCES[layout].read(folder, SameContent(), _recipe(data), None)
            catalog = SOURCES[layout].catalog(_input(source))
        except (ValueError, OSError) as error:
            refused.append(str(error))
            continue
        problems += [*source.problems, *source.table_problems, *catalog.problems]
        problems += _unread(source, listing, problems)
        if layout == MAIN:
            problems += soundscape_problems(with_stand_ins(source))
        problems += _without_label(refused, folder)
        why = _why(layout, source, tables)
        once = _once(problems, tables)
        return Reading(_title(layout, source), why, data, source, catalog, "", once)
    competition = any(is_there(folder / each.train) for each in LAYOUTS)
    if layout == MAIN and listing.audio and not competition:
        problems += _tables_not_read(tables)
    title = NO_LAYOUT if layout == MAIN and not competition else SOURCES[layout].title
    problems += _without_label([each for each in refused if each != refused[-1]], folder)
    return Reading(title, "", Data(), None, None, refused[-1], _once(problems, tables))


def _without_label(refused: list[str], folder: Path) -> list[Problem]:
    """That tables name no label, where the folder can be read further once a setting does."""
    return [
        Problem("tables without a label", "data.annotations.label", each.removeprefix(f"{folder}/"))
        for each in refused
    ]


def _once(problems: Iterable[Problem], tables: Iterable[Table]) -> tuple[Problem, ...]:
    """Each problem once; that a table of labels has no suffix of audio is none."""
    named = {table.name for table in tables}
    return tuple(p for p in dict.fromkeys(problems) if (p.problem, p.where in named) != NO_AUDIO)


def _ways(layout: str, folder: Path) -> list[Data]:
    """Settings to try: as it stands, and with a name for what tables mark without naming it."""
    named = {"annotations": {"label": folder.absolute().name or "sound"}}
    return [Data(), *([Data.model_validate(named)] if layout == TABLES else [])]


def _recipe(data: Data) -> Recipe:
    # No round is run; this backbone is our own, so that timm need not be asked for it.
    round_config = {"name": "any", "backbones": ["conv_gru"]}
    return Recipe.model_validate({"round": [round_config], "data": data.model_dump()})


def _input(source: Source) -> CatalogInput:
    labelled = (source.subset("labelled"), source.subset("annotated"))
    return CatalogInput(
        root=source.root,
        audio={file.path: file.sha256 for subset in labelled for file in subset.files},
        tables=tuple(name for name in source.tables if name not in ROW_TABLES),
        labels=source.labels,
        passed_over=source.passed_over,
        settings=source.settings,
    )


def _title(layout: str, source: Source) -> str:
    if source.metadata is not None:
        return f"BirdCLEF+ {source.metadata.layout.years}"
    return SOURCES[layout].title


def _why(layout: str, source: Source, tables: list[Table]) -> str:
    """By what a layout was told."""
    if source.metadata is not None:
        known = source.metadata.layout
        named = (known.train, *(f"{folder}/" for folder in known.folders))
        there = [name for name in named if (source.root / name).exists()]
        return f"there are {', '.join(there)}"
    if layout == FOLDERS:
        return "recordings lie in folders, and no table has labels"
    formats = Counter(filter(None, map(format_of, tables)))
    many = [f"{times} of {name}" for name, times in formats.most_common()]
    return f"labels lie in tables: {', '.join(many)}"


def _tables_not_read(tables: list[Table]) -> list[Problem]:
    """Tables that look as if they had labels, and are of no known format."""
    found: list[Problem] = []
    for table in tables:
        try:
            found += passed_over(table)
        except TableError as error:
            found.append(Problem("table that can't be read", table.name, str(error)))
    return found


def _unread(source: Source, listing: Listing, problems: list[Problem]) -> list[Problem]:
    """Recordings that lie where the layout expects none, by folder."""
    read = {file.path for subset in source.subsets for file in subset.files}
    read |= {problem.where for problem in problems}
    bare: dict[str, list[str]] = defaultdict(list)
    for name in listing.audio.keys() - read:
        bare[name.rpartition("/")[0] or "."].append(name)
    return [
        Problem(
            "recordings where the layout has none", place, f"{len(names)}, such as {min(names)}"
        )
        for place, names in sorted(bare.items())
    ]
