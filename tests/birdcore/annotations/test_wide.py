"""Tables with a column for each class: marks become present, absent and uncertain."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations.annotation import EVERY_CLASS, Annotated
from birdcore.annotations.readers import format_of
from birdcore.annotations.table import Table
from birdcore.annotations.wide import MARKS
from birdcore.config import Annotations
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]
ROWS = """\
recording,Start (s),end_s,site,minute,Turdus merula,amered,noise,comments
site/a.wav,0,5,north,0,1,0,,loud
site/a.wav,5,10,north,0,unsure,,0,
site/a.wav,10,15,north,1,,,,
site/a.wav,15,20,north,1,0,0,1,
"""


def marks(found: Annotated) -> list[tuple[float, str, str]]:
    return [(each.start_s, each.label, each.kind) for each in found.annotations]


def test_a_mark_is_a_kind(write: Write, read: Read) -> None:
    root = write({"t.csv": ROWS, "site/a.wav": ""})
    assert format_of(Table(root / "t.csv", "t.csv")) == "wide"
    found = read(root)
    assert marks(found) == [
        (0, "Turdus merula", "present"),
        (0, "amered", "absent"),
        (5, "Turdus merula", "uncertain"),
        (15, EVERY_CLASS, "absent"),  # of noise
        (15, "Turdus merula", "absent"),
        (15, "amered", "absent"),
    ]
    assert found.annotations[2].source == "t.csv:3"
    assert found.recordings == {"site/a.wav"}
    assert not found.problems


def test_a_row_of_empty_cells_says_that_somebody_looked(write: Write, read: Read) -> None:
    root = write({"a.csv": "start;duration;b;c\n0;3;;\n3;3;;\n6;3;0;x\n", "a.wav": ""})
    found = read(root)
    assert [(each.start_s, each.end_s, each.label, each.kind) for each in found.annotations] == [
        (6, 9, "b", "absent"),
        (6, 9, "c", "present"),
    ]


def test_a_flag_is_no_class_where_the_label_is_a_setting(write: Write, read: Read) -> None:
    root = write({"a.csv": "start,end,overlap\n0,3,1\n3,6,0\n", "a.wav": ""})
    assert marks(read(root)) == [(0, "overlap", "present"), (3, "overlap", "absent")]
    assert marks(read(root, label="amered")) == [(0, "amered", "present"), (3, "amered", "present")]
    assert marks(read(root, label="amered", format="wide")) == marks(read(root))


@pytest.mark.parametrize(
    "table",
    [
        "start,end,species,seen,heard\n0,3,amered,1,0\n",  # labels, and what is said of them
        "start,end,month,minute\n0,3,1,0\n",
        "start,end,height,weight\n0,3,17,1.5\n",
        "recording,seen,heard\na.wav,1,0\n",  # no times
    ],
)
def test_other_tables_are_not_taken_for_one(write: Write, table: str) -> None:
    root = write({"a.csv": table})
    assert format_of(Table(root / "a.csv", "a.csv")) != "wide"


def test_what_is_no_mark_is_refused_with_its_place(write: Write, read: Read) -> None:
    root = write({"t.csv": ROWS.replace("unsure", "unsrue"), "site/a.wav": ""})
    with pytest.raises(
        TableError, match=r"t\.csv:3: column Turdus merula: 'unsrue' is no mark: write 1, 0"
    ):
        read(root)
    root = write({"t.csv": "start,end,b,c\n0,soon,1,0\n", "site/a.wav": ""})
    with pytest.raises(TableError, match=r"t\.csv:2: end 'soon' is no time"):
        read(root)


def test_a_column_of_counts_is_refused_by_its_name(write: Write, read: Read) -> None:
    table = "start,end,Asio otus,Strix aluco\n0,3,x,\n3,6,,3\n6,9,x,0\n9,12,no,2\n12,15,x,7\n"
    root = write({"a.csv": table, "a.wav": ""})
    with pytest.raises(TableError, match=r"a\.csv:3: column Strix aluco: '3' is no mark.*take the"):
        read(root, complete=True)


def test_columns_without_a_mark_are_reported(write: Write, read: Read) -> None:
    table = "start;end;habitat;Asio otus;Bubo bubo;empty\n0;3;wood;2;1;\n3;6;field;4;0;\n"
    root = write({"a.csv": table, "a.wav": ""})
    found = read(root, complete=True)
    assert marks(found) == [(0, "Bubo bubo", "present"), (3, "Bubo bubo", "absent")]
    assert [(p.problem, p.where, p.detail) for p in found.problems] == [
        ("columns without marks, taken for no class", "a.csv", "habitat, Asio otus")
    ]


def test_measurements_are_no_classes(write: Write, read: Read) -> None:
    table = "start,end,Temperature,count,score,b\n0,3,-2,4,0.5,1\n3,6,0,1,1,0\n"
    found = read(write({"a.csv": table, "a.wav": ""}))
    assert marks(found) == [(0, "b", "present"), (3, "b", "absent")]
    assert "columns" not in {problem.problem.partition(" ")[0] for problem in found.problems}


@given(cells=st.lists(st.sampled_from([*MARKS, ""]), min_size=2, max_size=6))
def test_every_mark_is_read_once(
    cells: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from birdcore.annotations.readers import READERS

    path = tmp_path_factory.mktemp("wide") / "a.csv"
    names = [f"c{at}" for at in range(len(cells))]
    path.write_text("start,end," + ",".join(names) + "\n0,3," + ",".join(cells).upper() + "\n")
    table = Table(path, "a.csv")
    rows = READERS["wide"].read(table, Annotations()) if any(cells) else []
    said = {name: MARKS[cell] for name, cell in zip(names, cells, strict=True) if cell}
    assert {row.label: row.kind for row in rows} == said
