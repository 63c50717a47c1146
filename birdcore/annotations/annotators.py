"""Who says what a line of a table says, where several people annotated the same recordings.

Without a setting people are not told apart, and all say the same. Otherwise what they say is kept
person by person: where they disagree, a class is there by the share of them that name it.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from birdcore.annotations.match import Found
from birdcore.annotations.table import Record, Table, named_column, records
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

People: TypeAlias = Mapping[str, bool]
"""Annotators, and whether each says what a line says, or that it is not so."""
UNNAMED = "unnamed"
"""Who annotated a line whose cell for it is empty."""


def sayers(
    table: Table, own: Found, settings: Annotations
) -> tuple[tuple[str, ...], Callable[[int], People]]:
    """Who annotated a table as a whole, and who says what stands in a line of it.

    Args:
        table: The table.
        own: The recording that its name says it is of, if any.
        settings: Where it says who annotated.

    Raises:
        TableError: It has no column of that name, or votes that are none.
    """
    if settings.votes is not None and settings.voters is not None:
        of = settings.voters
        votes = named_column(table, settings.votes, "votes")
        voters = of if isinstance(of, int) else named_column(table, of, "voters")
        by_line = {row.line: _votes(table, row, votes, voters) for row in records(table)}
        return (), by_line.__getitem__
    if settings.annotator is None:
        return (), lambda line: {"": True}
    if settings.annotator in ("folder", "table"):
        name = table.folder.rpartition("/")[2]
        if settings.annotator == "table":
            name = table.name_beside(own if isinstance(own, str) else "")
        name = name or UNNAMED
        return (name,), lambda line: {name: True}
    column = named_column(table, settings.annotator, "annotator")
    names = {row.line: nfc(row.cells[column]) or UNNAMED for row in records(table)}
    return (), lambda line: {names[line]: True}


def _votes(table: Table, row: Record, votes: str, voters: int | str) -> People:
    """People by number, of whom the first so many name the label of a row."""
    of = str(voters) if isinstance(voters, int) else row.cells[voters]
    try:
        named, people = int(row.cells[votes]), int(of)
    except ValueError:
        named, people = -1, 0
    if not 0 <= named <= people or people == 0:
        raise TableError(
            f"{table.path}:{row.line}: {row.cells[votes]!r} votes of {of!r} people: give whole "
            "numbers, of votes 0 or more, of people at least as many and 1"
        )
    return {str(number): number <= named for number in range(1, people + 1)}
