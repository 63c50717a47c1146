from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.annotations.annotation import EVERY_CLASS, Annotated
from birdcore.annotations.readers import format_of
from birdcore.annotations.table import Table
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]
ROWS = """recording,start_offset_s,end_offset_s,label,label_type
site/a.wav,0,5,amered,positive
site/a.wav,5,10,amered,Negative
site/a.wav,10,15,amered,uncertain
site/a.wav,15,20,noise,positive
"""


def test_the_type_of_a_label_is_its_kind(write: Write, read: Read) -> None:
    root = write({"annotations.csv": ROWS, "site/a.wav": ""})
    assert format_of(Table(root / "annotations.csv", "annotations.csv")) == "hoplite"
    assert [(each.start_s, each.label, each.kind) for each in read(root).annotations] == [
        (0, "amered", "present"),
        (5, "amered", "absent"),
        (10, "amered", "uncertain"),
        (15, EVERY_CLASS, "absent"),
    ]


def test_another_type_is_refused(write: Write, read: Read) -> None:
    root = write({"t.csv": ROWS.replace("uncertain", "maybe"), "site/a.wav": ""})
    with pytest.raises(TableError, match=r"t\.csv:4: label_type 'maybe': positive, negative or"):
        read(root)
