"""Tables of Kaleidoscope and of PyHa, which borrows its columns: folder, file, offset, duration.

Labels are those that a person gave (`MANUAL ID`). What the program believes (`TOP1MATCH`) is no
label: it is taken only where `data.annotations.label_column` names it.
"""

from birdcore.annotations.row import Row
from birdcore.annotations.table import Table, label_column, records, seconds
from birdcore.config import Annotations
from birdcore.unicode_names import nfc

COLUMNS = {"in file", "offset", "duration"}


def fits(table: Table) -> bool:
    """Whether it has Kaleidoscope's columns."""
    own = {"indir", "top1match", "top1dist", "outdir"}
    return {*table.header} >= COLUMNS and bool(own & {*table.header})


def fits_pyha(table: Table) -> bool:
    """Whether it has PyHa's columns."""
    return COLUMNS | {"clip length"} <= {*table.header}


def read(table: Table, settings: Annotations) -> list[Row]:
    """Its rows; raises TableError where an offset or a duration is none."""
    rows = list(records(table))
    label = label_column(table, rows, ("manual id",), settings)
    made = []
    for row in rows:
        start = seconds(table, row, "offset")
        end = start + seconds(table, row, "duration")
        name = nfc(row.cells[label]) if label else ""
        file = "/".join(filter(None, (row.cells.get("folder"), row.cells["in file"])))
        made.append(Row(row.line, start, end, name, recording=file))
    return made
