"""One person's verdicts as a table of labels in hoplite's form, on the disk as soon as given.

`birdcore.annotations.hoplite` reads it, so it trains and validates like any other table. A person
may be killed, lose power or change a mind: a verdict is appended and synced by itself, what was cut
in the middle of a line is left out, and only a changed verdict writes the table anew, by a rename.
"""

import csv
import errno
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from birdcore.csv_table import csv_rows, read_text
from birdcore.detection.review_order import Clip, clip_key
from birdcore.detection.verdicts import Key
from birdcore.store.files import write_text
from birdcore.text import from_spreadsheet_cell, spreadsheet_cell

COLUMNS = (
    "recording", "start_offset_s", "end_offset_s", "label", "label_type", "detected",
    "model_confidence", "annotator", "annotated_at",
)  # fmt: skip
"""`detected` is the class of the detection: another class is a positive of `label` and a negative
of `detected`, in two rows."""
Answer: TypeAlias = Literal["yes", "no", "unsure", "other"]
TYPES: dict[Answer, str] = {"yes": "positive", "no": "negative", "unsure": "uncertain"}
ANSWERS: dict[str, Answer] = {kind: answer for answer, kind in TYPES.items()}
NAME = re.compile(r"\w[\w .-]{0,38}\w|\w")
LONGEST_HEAD = 1 << 16
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Verdict:
    """What somebody says of a clip: `other` is the class that is heard instead, else "".

    Example:
        >>> Verdict("other", "turmer")
        Verdict(answer='other', other='turmer')
    """

    answer: Answer
    other: str = ""


Verdicts: TypeAlias = dict[Key, Verdict]
Row: TypeAlias = dict[str, str]


def check_name(name: str) -> str:
    """A person's name, which is a file's name too.

    Raises:
        ValueError: It can't be one.
    """
    if NAME.fullmatch(name):
        return name
    raise ValueError(
        f"--annotator {name[:60]!r}: up to 40 letters, digits, spaces, points and hyphens"
    )


@dataclass
class VerdictTable:
    """A person's table.

    Attributes:
        path: Where it lies; made with the first verdict.
        annotator: Whose it is.
        verdicts: What was said so far.
        cut: What a kill or a power cut left of a line, which was removed; "" for nothing.
    """

    path: Path
    annotator: str
    verdicts: Verdicts = field(default_factory=dict)
    cut: str = ""

    def add(self, clip: Clip, verdict: Verdict) -> None:
        """Write a verdict, and return when it is safe on the disk.

        Raises:
            ValueError: Another class is the detected one, or none.
            OSError: It can't be written; the table is what it was.
        """
        if (verdict.answer == "other") != bool(verdict.other) or verdict.other == clip.code:
            raise ValueError("another class has a name that is not the detected one's")
        if self.verdicts.get(clip.key) == verdict:
            return
        new = _rows(clip, verdict, self.annotator)
        if not self.path.exists():
            write_text(self.path, _csv([list(COLUMNS)], ","))
        columns, delimiter = _header(self.path)
        lines = [[row.get(name, "") for name in columns] for row in new]
        if clip.key in self.verdicts:
            rows, *_ = _read(self.path)
            kept = [[row[n] for n in columns] for row in rows if _key(row) != clip.key]
            write_text(self.path, _csv([columns, *kept, *lines], delimiter))
        else:  # without reading what is there: a table may have thousands of rows
            _append(self.path, _csv(lines, delimiter).encode())
        self.verdicts[clip.key] = verdict


def open_table(path: Path, annotator: str) -> VerdictTable:
    """A person's table as it is, a new one where there is none; a line that was cut is removed.

    Raises:
        ValueError: It is another table.
        OSError: It can't be read or written to.
    """
    cut = _mend(path) if path.exists() else ""
    return VerdictTable(path, annotator, read_verdicts(path) if path.exists() else {}, cut)


def read_verdicts(path: Path) -> Verdicts:
    """What a table says of each clip.

    Raises:
        ValueError: It is another table, or a line of it can't be understood.
    """
    found: Verdicts = {}
    rows, *_ = _read(path)
    for row in rows:
        kind, label = row["label_type"].casefold(), row["label"]
        if kind not in ANSWERS:
            raise ValueError(f"{path}: label_type {kind[:40]!r} is none of {', '.join(ANSWERS)}")
        key = _key(row)
        if label == row["detected"]:
            before = found.get(key)
            if before is None or before.answer != "other":
                found[key] = Verdict(ANSWERS[kind])
        elif kind == "positive":
            found[key] = Verdict("other", label)
    return found


def is_verdict_table(path: Path) -> bool:
    """Whether a CSV has the columns of verdicts."""
    return {*COLUMNS} <= {*_header(path)[0]}


def _rows(clip: Clip, verdict: Verdict, annotator: str) -> list[Row]:
    labels = [(clip.code, TYPES.get(verdict.answer, "negative"))]
    if verdict.other:
        labels.insert(0, (verdict.other, "positive"))
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    place = (clip.file, _number(clip.start_s), _number(clip.end_s))
    about = (clip.code, _number(clip.confidence), annotator, when)
    return [dict(zip(COLUMNS, (*place, *label, *about), strict=True)) for label in labels]


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _key(row: Row) -> Key:
    return clip_key(row["recording"], row["detected"], row["start_offset_s"], row["end_offset_s"])


def _read(path: Path) -> tuple[list[Row], list[str], str]:
    """Rows, columns and delimiter, since a spreadsheet may have saved it."""
    columns, delimiter = _header(path)
    lines = csv_rows(path, read_text(path), delimiter)
    next(lines, None)
    if missing := [name for name in COLUMNS if name not in columns]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}, so it is no table of verdicts: give another "
            "--out, or move it away"
        )
    rows = []
    for line, cells in lines:
        cells += [""] * (len(columns) - len(cells))
        row = {n: from_spreadsheet_cell(c) for n, c in zip(columns, cells, strict=False)}
        try:
            _key(row)
        except ValueError:
            raise ValueError(f"{path}:{line}: a time in seconds is missing or none") from None
        rows.append(row)
    return rows, columns, delimiter


def _header(path: Path) -> tuple[list[str], str]:
    """Names of columns, and what stands between cells."""
    with path.open("rb") as file:
        head = file.readline(LONGEST_HEAD).decode("utf-8-sig", errors="replace")
    delimiter = max(",;\t", key=head.count)
    _, columns = next(csv_rows(path, head, delimiter), (1, []))
    return columns, delimiter


def _csv(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([spreadsheet_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _append(path: Path, content: bytes) -> None:
    """Add lines to a file, all of them or none."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    size = os.fstat(handle).st_size
    try:
        if os.write(handle, content) < len(content):
            raise OSError(
                errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)
            )  # a full disk takes a part
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise
    finally:
        os.close(handle)


def _mend(path: Path) -> str:
    """End the last line, or remove it where it was cut; returns what was removed."""
    content = path.read_bytes()
    if not content or content.endswith(b"\n"):
        return ""
    head, _, last = content.rpartition(b"\n")
    ours = content.startswith(",".join(COLUMNS).encode())
    if ours and not WHEN.fullmatch(last.rpartition(b",")[2].decode(errors="replace")):
        write_text(path, (head + b"\n").decode())
        return last.decode(errors="replace")
    _append(path, b"\n")
    return ""
