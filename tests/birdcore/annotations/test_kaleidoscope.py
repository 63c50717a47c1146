from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.annotations.annotation import EVERY_CLASS, Annotated
from birdcore.annotations.readers import format_of
from birdcore.annotations.table import Table
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]
CLUSTERS = """INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,TOP1MATCH*,TOP1DIST,MANUAL ID
D:\\2021,night 1,S1_20210601_050000.wav,0,1.5,2,900,cluster 3,0.4,Turdus merula
D:\\2021,night 2,S1_20210601_050000.wav,0,7,0.5,900,cluster 3,0.4,
D:\\2021,night 2,S1_20210601_050000.wav,0,9,0.5,900,cluster 3,0.4,Noise
"""
PYHA = """FOLDER,IN FILE,CLIP LENGTH,CHANNEL,OFFSET,DURATION,SAMPLE RATE,MANUAL ID
./TEST/,b.WAV,60,0,2,3,44100,bird
"""


def test_what_a_person_named_is_a_label_and_a_match_is_none(write: Write, read: Read) -> None:
    name = "S1_20210601_050000.wav"
    root = write({"id.csv": CLUSTERS, f"x/night 1/{name}": "", f"x/night 2/{name}": ""})
    found = read(root)
    assert [
        (each.recording, each.start_s, each.end_s, each.label, each.kind)
        for each in found.annotations
    ] == [
        (f"x/night 1/{name}", 1.5, 3.5, "Turdus merula", "present"),
        (f"x/night 2/{name}", 7, 7.5, EVERY_CLASS, "uncertain"),
        (f"x/night 2/{name}", 9, 9.5, EVERY_CLASS, "absent"),
    ]
    assert [each.problem for each in found.problems] == [
        "row without a label: uncertain for every class"
    ]
    matches = read(root, label_column="TOP1MATCH").annotations
    assert {each.label for each in matches} == {"cluster 3"}


def test_a_table_that_nobody_has_reviewed_is_refused(write: Write, read: Read) -> None:
    reviewed = CLUSTERS.replace("Turdus merula", "").replace("Noise", "")
    root = write({"id.csv": reviewed, "night 1/S1_20210601_050000.wav": ""})
    with pytest.raises(TableError, match=r"id\.csv:1: no column of labels, or an empty one.*top1"):
        read(root)


def test_pyha_has_kaleidoscopes_columns(write: Write, read: Read) -> None:
    root = write({"pyha.csv": PYHA, "test/b.wav": ""})
    assert format_of(Table(root / "pyha.csv", "pyha.csv")) == "pyha"
    (only,) = read(root).annotations
    assert (only.recording, only.start_s, only.end_s, only.label) == ("test/b.wav", 2, 5, "bird")
    with pytest.raises(TableError, match=r"pyha\.csv:2: offset 'x' is no time"):
        read(write({"pyha.csv": PYHA.replace(",2,3,", ",x,3,")}))
