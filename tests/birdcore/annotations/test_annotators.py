"""Several people's labels of one recording, in tables of their own or in one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from birdcore.annotations.annotation import Annotated
from birdcore.config import Annotations
from birdcore.csv_table import TableError

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]
HEADER = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n"
WREN, ROBIN = "1\tSpectrogram 1\t1\t2.5\twren\n", "2\tSpectrogram 1\t4\t6\trobin\n"


def labels(found: Annotated) -> list[tuple[str, str, str, str]]:
    return [(each.recording, each.annotator, each.label, each.kind) for each in found.annotations]


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("table", ["rec1.ana.Table.1.selections.txt", "rec1_ben.txt", "rec1.c.selections.txt"]),
        ("folder", ["ana/rec1.Table.1.selections.txt", "ben/rec1.txt", "c/rec1.selections.txt"]),
    ],
)
def test_each_person_has_tables_of_their_own(
    write: Write, read: Read, setting: str, names: list[str]
) -> None:
    ana, ben, empty = names
    audio = {"rec1.wav": "", "ben/x.txt": "a note"}
    root = write({ana: HEADER + WREN + ROBIN, ben: HEADER + WREN, empty: HEADER, **audio})
    found = read(root, annotator=setting)
    assert labels(found) == [
        ("rec1.wav", "ana", "wren", "present"),
        ("rec1.wav", "ben", "wren", "present"),
        ("rec1.wav", "ana", "robin", "present"),
    ]
    assert found.annotators == {("rec1.wav", name) for name in ("ana", "ben", "c")}
    together = read(root)
    assert [(label, name) for _, name, label, _ in labels(together)] == [
        ("wren", ""),
        ("robin", ""),
    ]
    assert not together.annotators


def test_a_column_says_who(write: Write, read: Read) -> None:
    table = (
        "filename,start,end,species,Who Was It\n"
        "a.wav,0,5,wren,ana\na.wav,0,5,wren;robin,ben\nb.wav,,,,ben\nb.wav,1,2,wren,\n"
    )
    found = read(write({"t.csv": table, "a.wav": "", "b.wav": ""}), annotator="who_was_it")
    assert labels(found) == [
        ("a.wav", "ben", "robin", "present"),
        ("a.wav", "ana", "wren", "present"),
        ("a.wav", "ben", "wren", "present"),
        ("b.wav", "unnamed", "wren", "present"),
    ]
    assert found.annotators == {
        ("a.wav", "ana"), ("a.wav", "ben"), ("b.wav", "ben"), ("b.wav", "unnamed"),
    }  # fmt: skip


VOTES = "filename,start,end,label,heard by,of\na.wav,0,5,wren,2,3\na.wav,5,10,noise,1,2\n"


def test_votes_are_of_people_by_number(write: Write, read: Read) -> None:
    root = write({"t.csv": VOTES, "a.wav": ""})
    found = read(root, votes="heard by", voters="of")
    assert labels(found) == [
        ("a.wav", "1", "wren", "present"),
        ("a.wav", "2", "wren", "present"),
        ("a.wav", "3", "wren", "absent"),
        ("a.wav", "1", "", "absent"),  # the second says nothing of it
    ]
    assert found.annotators == {("a.wav", name) for name in "123"}
    assert len(read(root, votes="heard by", voters=10).annotators) == 10


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"annotator": "who"}, r"t\.csv:1: no column 'who'; .*set data\.annotations\.annotator"),
        ({"votes": "v", "voters": 3}, r"t\.csv:1: no column 'v'; .*set data\.annotations\.votes"),
        ({"votes": "heard by", "voters": "n"}, r"t\.csv:1: no column 'n'.*annotations\.voters"),
        ({"votes": "heard by", "voters": 1}, r"t\.csv:2: '2' votes of '1' people"),
        ({"votes": "label", "voters": 1}, r"t\.csv:2: 'wren' votes of '1' people"),
    ],
)
def test_what_is_no_vote_is_refused(
    write: Write, read: Read, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(TableError, match=says):
        read(write({"t.csv": VOTES, "a.wav": ""}), **settings)


@pytest.mark.parametrize(
    "settings", [{"votes": "a"}, {"voters": 3}, {"votes": "a", "voters": 3, "annotator": "b"}]
)
def test_settings_of_people_must_fit(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"needs|does not go with"):
        Annotations(**settings)  # type: ignore[arg-type]
