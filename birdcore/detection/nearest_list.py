"""Windows that sound like a clip, as a table of detections: a list for `birdflow review`."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.detection.from_probabilities import without_overlaps
from birdcore.detection.table import SCHEMA, FileRow, RecorderInfo, Species
from birdcore.detection.writers import write_csv
from birdcore.teachers.nearest import Floats, Nearest
from birdcore.unicode_names import find_by_name

NEIGHBOURS = 4
"""Windows that are asked for, for each that is listed: many of them overlap."""
MODEL = "nearest by "
"""How `model` begins in our lists, so that no other table is replaced by one."""


class Window(NamedTuple):
    """A window, seconds, and its cosine with what was searched for."""

    file: Path
    start_s: float
    end_s: float
    similarity: float


def nearest_windows(
    folder: Path, windows: Path, roots: Sequence[Path], embedding: Floats, most: int
) -> list[Window]:
    """The nearest windows of recordings, of which no two overlap, the nearest first.

    Args:
        folder: What `birdcore.teachers.nearest.write_nearest` wrote.
        windows: The table of the embeddings' windows (stage `embedding_index`).
        roots: Where the recordings of each part of it are.
        embedding: (D,), what is searched for.
        most: Windows at most.
    """
    rows, similarity = Nearest.open(folder).to(embedding, NEIGHBOURS * most)
    table = pq.read_table(windows, read_dictionary=["recording"], memory_map=True).take(rows)
    start, end = (table[name].to_numpy() for name in ("start", "end"))
    names, parts = table["recording"].to_pylist(), table["part"].to_pylist()
    places = [(roots[part], name) for part, name in zip(parts, names, strict=True)]
    number = {place: at for at, place in enumerate(dict.fromkeys(places))}
    group = np.array([number[place] for place in places], np.int64)
    paths = {place: find_by_name(*place) for place in number}
    return [
        Window(paths[places[at]], float(start[at]), float(end[at]), float(similarity[at]))
        for at in without_overlaps(group, start, end)[:most].tolist()
    ]


def write_nearest_list(
    path: Path, windows: Sequence[Window], species: Species, teacher: str, clip: Path
) -> None:
    """Write the list as `birdflow detect` writes a CSV; recordings are named by their full path.

    Args:
        path: Where to.
        windows: One or more.
        species: What the clip is of: a verdict of yes is a label of it.
        teacher: Who compared.
        clip: What was searched for.
    """
    row = FileRow(str(clip), 0.0, 0, 0, RecorderInfo(), MODEL + teacher, windows[-1].similarity)
    cells = [
        row.record()
        | {
            "file": str(window.file),
            "start_s": round(window.start_s, 4),
            "end_s": round(window.end_s, 4),
            "scientific_name": species.scientific_name,
            "common_name": species.common_name,
            "class": species.code,
            "confidence": min(max(window.similarity, 0.0), 1.0),
        }
        for window in windows
    ]
    write_csv(path, [(row, pa.Table.from_pylist(cells, SCHEMA))], Path("/"))


def check_replaceable(path: Path) -> None:
    """Raises ValueError where a list can't be written, or would replace a file that is none."""
    if not path.parent.is_dir():
        raise ValueError(
            f"{path}: there is no folder {path.parent}: make it, or give another --out"
        )
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder: give a file as --out, such as {path / 'nearest.csv'}"
        )
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            ours = next(csv.DictReader(file), {}).get("model") or ""
    except (OSError, UnicodeDecodeError, csv.Error):
        ours = ""
    if not ours.startswith(MODEL):
        raise ValueError(f"{path} is no list of birdflow search: give another --out")
