import math
from pathlib import Path

import pandas as pd
import pytest

from birdcore.audio.trim import Override
from birdcore.csv_table import TableError
from birdcore.sources.overrides import read_overrides
from birdcore.text import to_csv

KNOWN = {"train_audio/a/XC1.ogg", "train_audio/b/XC2.ogg"}
HEADER = "recording,action,from,to\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "overrides.csv"


def test_rows_are_read_in_the_files_order(path: Path) -> None:
    path.write_text(
        HEADER + "train_audio/a/XC1.ogg,cut,1.5,3\n\nb/XC2.ogg, KEEP ,,\na/XC1.ogg,keep,2,inf\n"
    )
    assert read_overrides(path, KNOWN) == {
        "train_audio/a/XC1.ogg": (Override("cut", 1.5, 3), Override("keep", 2, math.inf)),
        "train_audio/b/XC2.ogg": (Override("keep", 0, math.inf),),
    }


def test_no_file_and_no_rows_are_no_overrides(path: Path) -> None:
    assert read_overrides(path, KNOWN) == {}
    path.write_text(HEADER)
    assert read_overrides(path, KNOWN) == {}


def test_other_columns_are_left_alone(path: Path) -> None:
    path.write_text("by,to,from,action,recording\nme,2,1,cut,a/XC1.ogg\n")
    assert read_overrides(path, KNOWN) == {"train_audio/a/XC1.ogg": (Override("cut", 1, 2),)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("recording,action,from\n", "overrides.csv:1: no column to; there are recording, action, "),
        (HEADER + "a/XC9.ogg,cut,1,2\n", "csv:2: there is no training recording 'a/XC9.ogg'"),
        (HEADER + "A/xc1.OGG,cut,1,2\n", "'A/xc1.OGG'; there is train_audio/a/XC1.ogg"),
        (HEADER + "\na/XC1.ogg,drop,1,2\n", "csv:3: action 'drop' is neither keep nor cut"),
        (HEADER + "a/XC1.ogg,cut,one,2\n", "csv:2: from 'one' is not a number of seconds"),
        (HEADER + "a/XC1.ogg,cut,1,0:30\n", "csv:2: to '0:30' is not a number of seconds"),
        (HEADER + "a/XC1.ogg,cut,2,1\n", "csv:2: from 2 and to 1 are no interval"),
        (HEADER + "a/XC1.ogg,cut,-1,1\n", "csv:2: from -1 and to 1 are no interval"),
        (HEADER + "a/XC1.ogg,cut,nan,1\n", "csv:2: from nan and to 1 are no interval"),
        (HEADER + "a/XC1.ogg,cut,1\n", "csv:2: 3 fields where the header has 4"),
        (HEADER + "a/XC1.ogg,cut,1,5,2\n", "csv:2: 5 fields where the header has 4"),
    ],
)
def test_a_row_that_can_not_be_used_is_refused_with_its_line(
    path: Path, text: str, says: str
) -> None:
    path.write_text(text)
    with pytest.raises(TableError) as caught:
        read_overrides(path, KNOWN)
    assert says in str(caught.value)


def test_another_encoding_is_refused(path: Path) -> None:
    path.write_bytes(HEADER.encode() + b"\xe9.ogg,cut,1,2\n")
    with pytest.raises(TableError, match=r"overrides\.csv:2: not UTF-8 text"):
        read_overrides(path, KNOWN)


@pytest.mark.parametrize("name", ["=a.ogg", "-1+1.ogg", "@a.ogg", "+a.ogg", "'=a.ogg"])
def test_a_row_of_cuts_csv_is_an_override_of_the_same_recording(path: Path, name: str) -> None:
    cuts = pd.DataFrame({"recording": [name], "action": ["keep"], "from": [1.0], "to": [2.0]})
    path.write_text(to_csv(cuts))
    assert path.read_text().splitlines()[1].startswith("'")
    assert read_overrides(path, {name}) == {name: (Override("keep", 1, 2),)}
