"""Detections read back from where they lie: the output folder of a detection, or a table of it.

The page and the cuts begin with what is on the disk, so that they can be made again of detections
that are months old, that were shared by several processes, or that someone has filtered.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.detection.table import FILE_SCHEMA, SCHEMA, VERSION
from birdcore.detection.work import FOLDER
from birdcore.detection.writers import ALL_FILES, CSV_NAMES
from birdcore.text import from_spreadsheet_cell, plain_text

FILES = "files.csv"
VERSION_KEY = b"birdflow.detections"
VERSIONS = range(1, VERSION + 1)
"""Whose tables are read: those of version 1 have no `probability`."""
COLUMNS = (
    "file", "start_s", "end_s", "scientific_name", "common_name", "class", "confidence", "model",
    "recorded_at",
)  # fmt: skip
"""The columns that are read: others only take memory, of which a table of millions takes much."""
NEEDED = ("file", "start_s", "end_s", "scientific_name", "confidence")
"""What a CSV must have; tables of BirdNET-Analyzer do."""
NUMBERS = ("start_s", "end_s", "confidence")
RAVEN = ".selection.table.txt"
RAVEN_NAMES = {
    "Begin Path": "file",
    "Begin Time (s)": "start_s",
    "End Time (s)": "end_s",
    "File Offset (s)": "offset_s",
    "Scientific Name": "scientific_name",
    "Common Name": "common_name",
    "Species Code": "class",
    "Confidence": "confidence",
    "Model": "model",
}
"""Columns of a selection table of ours; all but the last are BirdNET's too."""


def read_detections(path: Path) -> pd.DataFrame:
    """A row for each detection, with `COLUMNS`; texts are categories.

    Args:
        path: The output folder of a detection, or its `detections.parquet`, `.csv` or Raven table.

    Raises:
        ValueError: There is no such table, or it is none of detections.
        OSError: It can't be read.
    """
    if path.is_dir():
        parts = sorted((path / FOLDER / "parts").glob("*.parquet"))
        whole = [path / f"{ALL_FILES}{suffix}" for suffix in (".parquet", ".csv", RAVEN)]
        found = [one for one in whole if one.is_file()][:1] or parts
        if not found:
            raise ValueError(
                f"{path} holds no detections: give the folder that `birdflow detect` wrote to, or "
                "its detections.parquet or detections.csv"
            )
    elif path.exists():
        found = [path]
    else:
        raise ValueError(
            f"{path} is not there: give the folder that `birdflow detect` wrote to (its --out)"
        )
    if found[0].suffix in (".txt", ".tsv"):
        return _read_raven(found[0], recordings_root(path))
    return _read_csv(found[0]) if found[0].suffix == ".csv" else _read_parquet(found)


def are_detections(path: Path) -> bool:
    """Whether a path is one that `read_detections` is for, by its kind and its header."""
    if path.is_dir() or path.suffix in (".parquet", ".txt", ".tsv"):
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return CSV_NAMES["start_s"].encode() in file.readline(1 << 16)


def read_files(out: Path) -> pd.DataFrame:
    """The table of analysed files, see `birdcore.detection.table.FILE_SCHEMA`.

    Raises:
        ValueError: It is not there, or is another table.
        OSError: It can't be read.
    """
    path = out / FILES
    if not path.is_file():
        raise ValueError(f"{path} is not there: give the folder that `birdflow detect` wrote to")
    return _csv(path, {name: name for name in FILE_SCHEMA.names}, FILE_SCHEMA, FILE_SCHEMA.names)


def recordings_root(path: Path) -> Path | None:
    """The folder to which names of recordings are relative; None where nothing says so.

    Args:
        path: The output folder of a detection, or a table in it.
    """
    folder = path if path.is_dir() else path.parent
    try:
        settings = json.loads((folder / FOLDER / "settings.json").read_text(encoding="utf-8"))
        return Path(settings["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_parquet(paths: Sequence[Path]) -> pd.DataFrame:
    texts = [name for name in COLUMNS if name not in NUMBERS]
    try:
        version = (pq.read_schema(paths[0]).metadata or {}).get(VERSION_KEY)
        table = pq.read_table(paths, columns=list(COLUMNS), read_dictionary=texts)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{paths[0]} is no table of detections: {_first_line(error)}") from error
    known = {str(one).encode() for one in VERSIONS}
    if version is not None and version not in known:  # none: someone has filtered it by pandas
        raise ValueError(
            f"{paths[0]} is of version {plain_text(version.decode(errors='replace'))}, this "
            f"birdflow reads versions up to {VERSION}: use the one that wrote it"
        )
    for name in ("file", "class", *NUMBERS):
        if table[name].null_count:
            raise ValueError(f"{paths[0]} has detections without {name}: leave them out")
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas(strings_to_categorical=True)
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    frame = _csv(path, {CSV_NAMES.get(name, name): name for name in COLUMNS}, SCHEMA, NEEDED)
    for name in NUMBERS:
        if frame[name].isna().any():
            raise ValueError(f"{path} has detections without {name}: leave them out")
    for name, otherwise in (("class", "scientific_name"), ("common_name", "scientific_name")):
        if name not in frame:
            frame[name] = frame[otherwise]
    for name in ("model", "recorded_at"):
        if name not in frame:
            frame[name] = pd.Categorical([""] * len(frame))
    return frame[list(COLUMNS)]


def _read_raven(path: Path, root: Path | None) -> pd.DataFrame:
    """A selection table; recordings are named below `root` where that is known."""
    fields = [pa.field("offset_s", pa.float64()), *SCHEMA]
    needed = [name for name in RAVEN_NAMES.values() if name not in ("class", "model")]
    frame = _csv(path, RAVEN_NAMES, pa.schema(fields), needed, "\t")
    for name in (*NUMBERS, "offset_s"):
        if frame[name].isna().any():
            raise ValueError(f"{path} has detections without {name}: leave them out")
    length = frame["end_s"] - frame["start_s"]
    frame["start_s"], frame["end_s"] = frame["offset_s"], frame["offset_s"] + length
    if root is not None:
        frame["file"] = frame["file"].cat.rename_categories(
            {name: _below(name, root) for name in frame["file"].cat.categories}
        )
    if "class" not in frame or (frame["class"] == "").any():
        frame["class"] = frame["scientific_name"]
    for name in ("model", "recorded_at"):
        if name not in frame:
            frame[name] = pd.Categorical([""] * len(frame))
    return frame[list(COLUMNS)]


def _below(name: str, root: Path) -> str:
    path = PurePosixPath(name)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _csv(
    path: Path,
    names: dict[str, str],
    schema: pa.Schema,
    needed: Sequence[str],
    separator: str = ",",
) -> pd.DataFrame:
    """A table of ours; texts are categories.

    Args:
        path: The file.
        names: Our name of each of its columns that is read.
        schema: The types of our names.
        needed: Those of them without which it is another table.
        separator: What stands between cells.
    """
    types = {
        theirs: "str" if pa.types.is_string(schema.field(ours).type) else "float64"
        for theirs, ours in names.items()
    }
    try:
        frame = pd.read_csv(
            path,
            sep=separator,
            dtype=types,
            usecols=lambda name: name in names,
            keep_default_na=False,
            na_values={theirs: [""] for theirs, kind in types.items() if kind == "float64"},
        )
    except ValueError as error:  # also of a number that is none, and of an empty file
        raise ValueError(f"{path} is no table of detections: {_first_line(error)}") from error
    frame = frame.rename(columns=names)
    if missing := [name for name in needed if name not in frame]:
        spelt = {ours: theirs for theirs, ours in names.items()}
        raise ValueError(f"{path} has no column {spelt[missing[0]]!r}")
    for name in frame:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].map(from_spreadsheet_cell).astype("category")
    return frame


def _first_line(error: Exception) -> str:
    return plain_text(str(error).partition("\n")[0])
