"""The table that is written, and a sample of one."""

import csv
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from birdcore.export.kit.base import Floats, Refused


def read_sample(path: Path, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Row ids and columns of a sample_submission.csv, whose classes must be those of the models."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise Refused(f"{path} can't be read as a table ({error})") from error
    missing, odd = set(classes) - set(header[1:]), set(header[1:]) - set(classes)
    if missing or odd:
        ways = [("it lacks", missing), ("the models don't know", odd)]
        said = "; ".join(f"{what} {shortened(names)}" for what, names in ways if names)
        raise Refused(f"{path} has other classes than the models: {said}")
    return [row[0] for row in rows if row], header[1:]


def shortened(names: Iterable[str]) -> str:
    """Some names in order, and how many there are more."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(ordered[:5]) + more


def check_output(path: Path) -> None:
    """Refuse now what could not be written in the end."""
    if path.is_dir():
        raise Refused(f"{path} is a folder: name a file, such as {path / 'submission.csv'}")
    if not path.parent.is_dir():
        raise Refused(f"{path} can't be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise Refused(f"{path} can't be written: the folder {path.parent} is read-only")


def write_submission(
    path: Path,
    row_ids: Sequence[str],
    probabilities: Floats,
    classes: Sequence[str],
    sample: tuple[list[str], list[str]] | None = None,
) -> None:
    """Write a submission, in the rows and columns of a sample where there is one.

    Rows without a prediction have each class's mean, so that they rank in the middle. A sample
    that names no recording of the folder decides the columns alone. The file is there in full or
    not at all.
    """
    rows, columns = sample or ([], list(classes))
    there = {row.rpartition("_")[0] for row in row_ids}
    named = {unicodedata.normalize("NFC", row.rpartition("_")[0]) for row in rows}
    wanted = rows if there & named else row_ids
    order = [list(classes).index(name) for name in columns]
    mean, row_of = probabilities.mean(axis=0), {name: row for row, name in enumerate(row_ids)}

    def lines() -> Iterable[list[str]]:
        for name in wanted:
            row = row_of.get(unicodedata.normalize("NFC", name))
            values = mean if row is None else probabilities[row]
            yield [name, *(f"{values[k]:.8g}" for k in order)]

    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row_id", *columns])
            writer.writerows(lines())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
