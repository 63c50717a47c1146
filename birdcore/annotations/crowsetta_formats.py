"""Formats of Praat (`.TextGrid`) and evsonganaly (`.not.mat`), read by the package crowsetta.

It takes seconds to import and few people have such files, so it is an extra, imported when there
is one. Its other formats are read without it, or count in samples and need their recording
(docs/decisions.md).
"""

from typing import Any, TypeAlias

from birdcore.annotations.row import Row
from birdcore.annotations.table import Table, column_key
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

GRID, NOT_MAT = ".textgrid", ".not.mat"
Segment: TypeAlias = tuple[str, float, float, str]
"""Tier, start, end, text."""


def fits(table: Table) -> bool:
    """Whether its suffix is that of such a format."""
    return table.name.casefold().endswith((GRID, NOT_MAT))


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its segments that have a text; a row's line is the number of the segment.

    Of a TextGrid all tiers of intervals are read, or the one that `label_column` names.

    Raises:
        TableError: The package is not installed, the file is damaged, or no tier has this name.
    """
    try:
        from crowsetta.formats.seq import NotMat, TextGrid
    except ImportError:
        raise TableError(
            f"{table.path}:1: to read it, install crowsetta: pip install 'birdflow[annotations]'"
        ) from None
    grid = table.name.casefold().endswith(GRID)
    try:
        found = _intervals(TextGrid, table) if grid else _syllables(NotMat, table)
    except Exception as error:  # whatever a parser meets in a damaged file
        raise TableError(f"{table.path}:1: damaged: {type(error).__name__}: {error}") from None
    tiers = dict.fromkeys(column_key(tier) for tier, *_ in found)
    if grid and settings.label_column and column_key(settings.label_column) not in tiers:
        raise TableError(
            f"{table.path}:1: no tier {settings.label_column!r}; there are {', '.join(tiers)}: "
            "set data.annotations.label_column to one of them"
        )
    wanted = column_key(settings.label_column) if grid and settings.label_column else None
    return [
        Row(number, start, end, nfc(text).strip())
        for number, (tier, start, end, text) in enumerate(found, start=1)
        if text.strip() and wanted in (None, column_key(tier))
    ]


def _intervals(text_grid: Any, table: Table) -> list[Segment]:
    tiers = text_grid.from_file(table.path).tiers
    return [
        (tier.name, float(each.xmin), float(each.xmax), each.text)
        for tier in tiers
        if hasattr(tier, "intervals")  # a tier of points has no lengths
        for each in tier.intervals
    ]


def _syllables(not_mat: Any, table: Table) -> list[Segment]:
    found = not_mat.from_file(table.path)
    columns = zip(found.onsets, found.offsets, found.labels, strict=True)
    return [("", float(start), float(end), str(label)) for start, end, label in columns]
