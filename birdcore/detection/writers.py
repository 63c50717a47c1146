"""Files of detections in the formats that people's tools open, in BirdNET-Analyzer's spellings.

A writer reads the analysed files and their detections in order, once, and writes as it reads, so
that memory does not grow with the number of files. A file is there in full or not at all. To add a
format, write a function and list it in `RTYPES`.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.detection.table import FILE_SCHEMA, SCHEMA, FileRow
from birdcore.store.files import replacing
from birdcore.text import plain_text, spreadsheet_cell

Results: TypeAlias = Iterable[tuple[FileRow, pa.Table]]
"""Each analysed file with its detections (`SCHEMA`), in the order of the tables."""

ROW_GROUP = 1 << 16
"""Rows of a Parquet row group: fixed, so that a file's bytes do not depend on how it was read."""
MOST_TABLES = 1 << 10
DIGITS = 4
HIGHEST_HZ = 15_000.0
"""BirdNET's tables say so: a box for Raven to draw, since events have no frequency."""

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Common Name", "Scientific Name", "Species Code", "Confidence", "Begin Path",
    "File Offset (s)", "Model", "Threshold",
)  # fmt: skip
KALEIDOSCOPE_COLUMNS = (
    "INDIR", "FOLDER", "IN FILE", "OFFSET", "DURATION", "TOP1MATCH", "TOP1DIST", "MODEL",
    "THRESHOLD",
)  # fmt: skip
CSV_NAMES = {
    "start_s": "Start (s)",
    "end_s": "End (s)",
    "scientific_name": "Scientific name",
    "common_name": "Common name",
    "confidence": "Confidence",
    "file": "File",
}
"""Columns that BirdNET's CSV and Parquet tables have, first and in this order; the rest is ours."""

CSV_ORDER = (*CSV_NAMES, *(name for name in SCHEMA.names if name not in CSV_NAMES))


def write_table(path: Path, results: Results, root: Path) -> None:
    """Raven's selection table; over several files begin and end accumulate, as Raven wants it."""
    before, selection = 0.0, 0
    with _lines(path, RAVEN_COLUMNS, "\t") as write:
        for row, table in results:
            high = min(HIGHEST_HZ, row.rate / 2)
            for cells in table.to_pylist():
                selection += 1
                write([
                    selection, "Spectrogram 1", 1, before + cells["start_s"],
                    before + cells["end_s"], 0.0, high, cells["common_name"],
                    cells["scientific_name"], cells["class"], cells["confidence"],
                    (root / row.file).as_posix(), cells["start_s"], cells["model"],
                    cells["threshold"],
                ])  # fmt: skip
            before += row.seconds


def write_csv(path: Path, results: Results, root: Path) -> None:
    """BirdNET's CSV, followed by our columns."""
    with _lines(path, [CSV_NAMES.get(name, name) for name in CSV_ORDER]) as write:
        for _, table in results:
            for cells in table.to_pylist():
                write([spreadsheet_cell(cells[name]) for name in CSV_ORDER])


def write_audacity(path: Path, results: Results, root: Path) -> None:
    """Audacity's labels: start, end, label, confidence."""
    with _lines(path, (), "\t") as write:
        for _, table in results:
            for cells in table.to_pylist():
                label = cells["common_name"] or cells["scientific_name"]
                write([cells["start_s"], cells["end_s"], label, cells["confidence"]])


def write_kaleidoscope(path: Path, results: Results, root: Path) -> None:
    """Kaleidoscope's CSV."""
    with _lines(path, KALEIDOSCOPE_COLUMNS) as write:
        for row, table in results:
            file = PurePosixPath(row.file)
            folder = "" if file.parent == PurePosixPath(".") else file.parent.as_posix()
            where = [spreadsheet_cell(text) for text in (root.as_posix(), folder, file.name)]
            for cells in table.to_pylist():
                duration = cells["end_s"] - cells["start_s"]
                name = spreadsheet_cell(cells["scientific_name"])
                write([
                    *where, cells["start_s"], duration, name, cells["confidence"], cells["model"],
                    cells["threshold"],
                ])  # fmt: skip


def write_parquet(path: Path, results: Results, root: Path) -> None:
    """Parquet with the columns of `SCHEMA`, by their own names, types and version."""
    temporary = _temporary(path)
    with replacing(path, temporary), pq.ParquetWriter(temporary, SCHEMA) as writer:
        waiting: list[pa.Table] = [SCHEMA.empty_table()]
        rows = 0
        for _, table in results:
            rows += len(table)
            if len(table):
                waiting.append(table)
            # A table of one row takes as much memory as one of a thousand.
            if rows >= ROW_GROUP or len(waiting) > MOST_TABLES:
                waiting = [_write_groups(writer, pa.concat_tables(waiting))]
                rows = len(waiting[0])
        if len(rest := pa.concat_tables(waiting)):
            writer.write_table(rest)


def _write_groups(writer: Any, table: pa.Table) -> pa.Table:
    """Write full row groups; what is left of the table."""
    while len(table) >= ROW_GROUP:
        writer.write_table(table.slice(0, ROW_GROUP))
        table = table.slice(ROW_GROUP)
    return table.combine_chunks()


class Writer(NamedTuple):
    """A format: how it is written, how its files' names end, and whether it is of one file only."""

    write: Callable[[Path, Results, Path], None]
    suffix: str
    per_file: bool = False


RTYPES: Mapping[str, Writer] = {
    "table": Writer(write_table, ".selection.table.txt"),
    "csv": Writer(write_csv, ".csv"),
    # Labels are on the time axis of one recording.
    "audacity": Writer(write_audacity, ".txt", per_file=True),
    "kaleidoscope": Writer(write_kaleidoscope, ".kaleidoscope.csv"),
    "parquet": Writer(write_parquet, ".parquet"),
}
"""The formats by name, as `--rtype` names them."""

FILES_FILE, ALL_FILES, TABLES = "files.csv", "detections", "tables"
"""The table of analysed files, the name of a file with all detections, and the folder of files of
one recording each."""


def write_outputs(
    out: Path,
    results: Callable[[], Results],
    rtypes: Sequence[str],
    root: Path,
    *,
    split_tables: bool = False,
) -> None:
    """Write all tables of a folder: `files.csv`, and those that are asked for.

    Args:
        out: Where they go; tables of one recording each lie below `tables/`, as the recordings do.
        results: Gives files and detections from the start, each time it is called.
        rtypes: Names of formats.
        root: The analysed folder.
        split_tables: A table for each recording instead of one for all.

    Raises:
        ValueError: There is no such format.
    """
    check_rtypes(rtypes)
    write_files_csv(out / FILES_FILE, (row for row, _ in results()))
    each = [RTYPES[name] for name in rtypes if split_tables or RTYPES[name].per_file]
    for name in rtypes:
        if RTYPES[name] not in each:
            RTYPES[name].write(out / f"{ALL_FILES}{RTYPES[name].suffix}", results(), root)
    if each:
        stems = split_names([row.file for row, _ in results()])
        for result in results():
            path = out / TABLES / stems[result[0].file]
            path.parent.mkdir(parents=True, exist_ok=True)
            for writer in each:
                writer.write(path.with_name(path.name + writer.suffix), [result], root)


def output_paths(out: Path, rtypes: Sequence[str], *, split_tables: bool) -> list[Path]:
    """What `write_outputs` writes: tables, and the folder of those of one recording each."""
    kinds = [RTYPES[name] for name in rtypes]
    whole = [kind for kind in kinds if not (split_tables or kind.per_file)]
    paths = [out / FILES_FILE, *(out / f"{ALL_FILES}{kind.suffix}" for kind in whole)]
    return paths + [out / TABLES] * (len(whole) < len(kinds))


def check_rtypes(names: Sequence[str]) -> None:
    """Raises ValueError for a name of no format."""
    for name in names:
        if name not in RTYPES:
            raise ValueError(f"no --rtype is called {name!r}: choose from {', '.join(RTYPES)}")


def split_names(files: Sequence[str]) -> dict[str, str]:
    """What the tables of each file are called: its name without a suffix where that is its alone.

    Example:
        >>> split_names(["a.wav", "a.flac", "b.wav"])
        {'a.wav': 'a.wav', 'a.flac': 'a.flac', 'b.wav': 'b'}
    """
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in files}
    # File systems of people's other machines may not tell upper from lower case.
    counts: dict[str, int] = {}
    for stem in stems.values():
        counts[stem.casefold()] = counts.get(stem.casefold(), 0) + 1
    return {name: stem if counts[stem.casefold()] == 1 else name for name, stem in stems.items()}


def write_files_csv(path: Path, rows: Iterable[FileRow]) -> None:
    """The table of analysed files."""
    with _lines(path, FILE_SCHEMA.names) as write:
        for row in rows:
            cells = row.record()
            write([spreadsheet_cell(cells[name]) for name in FILE_SCHEMA.names])


@contextmanager
def _lines(
    path: Path, header: Sequence[str], delimiter: str = ","
) -> Iterator[Callable[[Sequence[object]], None]]:
    """Writes rows of cells to a text file that appears when all are written."""
    temporary = _temporary(path)
    with replacing(path, temporary), temporary.open("w", encoding="utf-8", newline="") as file:
        write = _tabbed(file) if delimiter == "\t" else _quoted(file)
        if header:
            write(header)
        yield write


def _tabbed(file: IO[str]) -> Callable[[Sequence[object]], None]:
    """Cells between tabs; Raven and Audacity know no quotes, so no cell may hold tab or line."""

    def write(cells: Sequence[object]) -> None:
        file.write("\t".join(plain_text(_text(cell)) for cell in cells) + "\n")

    return write


def _quoted(file: IO[str]) -> Callable[[Sequence[object]], None]:
    writer = csv.writer(file, lineterminator="\n")
    return lambda cells: writer.writerow([_text(cell) for cell in cells])


def _text(cell: object) -> str:
    """A cell as text: numbers with a point, which foreign readers take for the column's type."""
    if isinstance(cell, float):
        rounded = round(cell, 6 if abs(cell) >= 1 else DIGITS)
        return f"{rounded:.6f}".rstrip("0") + ("0" if rounded == int(rounded) else "")
    return "" if cell is None else str(cell)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
