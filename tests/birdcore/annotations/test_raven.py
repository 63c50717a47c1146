import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations import raven
from birdcore.annotations.annotation import EVERY_CLASS, Annotated
from birdcore.annotations.table import Table
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]
HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def table(*rows: str, more: str = "") -> str:
    return "\n".join([HEADER + more, *rows, ""])


def test_a_real_set_of_one_species(shared_data: Path, read: Read) -> None:
    found = read(shared_data / "field" / "raven-noisy-pitta", label="noisy pitta")
    per_recording = Counter(each.recording for each in found.annotations)
    assert len(per_recording) == 7
    assert len(found.annotations) == 23  # 46 rows: each selection is there in two views
    first = found.annotations[0]
    assert first.recording == "pos/060000/sel.01.ch01.221101.153859.04..flac"
    assert (first.start_s, first.end_s) == (3.957494238, 4.942390994)
    assert (first.low_hz, first.high_hz) == (835.3, 2593.9)
    assert (first.label, first.kind) == ("noisy pitta", "present")
    assert first.source == "pos/060000/sel.01.ch01.221101.153859.04..Table.1.selections.txt:2"
    assert len(found.silent) == 9
    assert all(name.startswith("neg/") for name in found.silent)
    assert found.recordings == found.silent | set(per_recording)
    missing = [
        each for each in found.problems if each.problem == "table of a recording that is not there"
    ]
    assert len(missing) == len(found.problems) == 4
    assert missing[0].where.startswith("pos/060000/sel.02.ch01.221101.153948.19..Table.1")
    assert missing[0].detail == "12 rows"


def test_its_folder_names_it_and_no_setting_is_refused(shared_data: Path, read: Read) -> None:
    root = shared_data / "field" / "raven-noisy-pitta"
    assert {each.label for each in read(root, label="folder").annotations} == {"060000", "070005"}
    with pytest.raises(
        TableError, match=r"selections\.txt:1: no column of labels.*high freq hz"
    ) as error:
        read(root)
    assert "data.annotations.label_column" in str(error.value)
    assert "data.annotations.label " in str(error.value)


def test_real_tables_with_columns_of_labels_and_without_rows(
    shared_data: Path, tmp_path: Path, read: Read
) -> None:
    names = {
        "EmptyExample.Table.1.selections.txt": "EmptyExample.wav",
        "MSD-0003_20180427_2minstart00.Table.1.selections.txt": "MSD-0003_20180427_2MINSTART00.WAV",
        "raven_with_Annotation_col.txt": "deep/raven_with_Annotation_col.flac",
    }
    for name, recording in names.items():
        shutil.copy(shared_data / "field" / "raven-tables" / name, tmp_path)
        (tmp_path / recording).parent.mkdir(exist_ok=True)
        (tmp_path / recording).touch()
    found = read(tmp_path)
    assert found.recordings == set(names.values())
    assert [(each.problem, each.where.rpartition(":")[2]) for each in found.problems] == [
        ("row without a label: uncertain for every class", "11")
    ]
    assert Counter((each.recording, each.label) for each in found.annotations) == {
        ("MSD-0003_20180427_2MINSTART00.WAV", "WOTH"): 4,
        ("MSD-0003_20180427_2MINSTART00.WAV", "EATO"): 4,
        ("MSD-0003_20180427_2MINSTART00.WAV", "LOWA"): 1,
        ("MSD-0003_20180427_2MINSTART00.WAV", EVERY_CLASS): 1,
        ("deep/raven_with_Annotation_col.flac", "CSWA"): 1,
    }


def test_views_of_a_selection_are_one_and_a_number_that_comes_again_is_another(
    write: Write, read: Read
) -> None:
    rows = (
        "1\tWaveform 1\t1\t1\t2\t0\t0",
        "1\tSpectrogram 1\t1\t1\t2\t100\t900\tamered",
        "1\tSpectrogram 1\t1\t5\t6\t100\t900\tbawwar",
        "1\tWaveform 1\t1\t5\t6\t100\t900",
        "2\tSpectrogram 1\t1\t1\t2\t500\t500\tbawwar",
    )
    root = write({"a.txt": table(*rows, more="\tSpecies"), "a.wav": ""})
    found = read(root)
    assert [(each.start_s, each.low_hz, each.label) for each in found.annotations] == [
        (1, 100, "amered"),
        (1, None, "bawwar"),
        (5, 100, "bawwar"),
    ]
    assert [tuple(each) for each in found.problems] == [
        ("box without height, taken without its band", "a.txt:6", "1 row")
    ]


def test_times_over_several_recordings_are_those_of_each(write: Write, read: Read) -> None:
    more = "\tBegin Path\tFile Offset (s)\tSpecies"
    rows = (
        "1\tSpectrogram 1\t1\t1\t3\t0\t900\tC:\\field\\A 1.wav\t1\tamered",
        "2\tSpectrogram 1\t1\t62.5\t63\t0\t900\tC:\\field\\b%20.wav\t2.5\tamered",
    )
    root = write({"all.txt": table(*rows, more=more), "a 1.flac": "", "x/b .WAV": ""})
    found = read(root)
    spans = [(each.recording, each.start_s, each.end_s) for each in found.annotations]
    assert spans == [("a 1.flac", 1, 3), ("x/b .WAV", 2.5, 3)]
    write({"all.txt": table(*rows, more="\tBegin File\tx\tSpecies")})
    with pytest.raises(TableError, match=r"all\.txt:2: times .* File Offset \(s\)"):
        read(root)


def test_the_column_of_labels_is_the_one_that_is_set_or_the_first_that_holds_any(
    write: Write, read: Read
) -> None:
    row = "1\tSpectrogram 1\t1\t1\t3\t0\t900\t\tamered\tsong"
    root = write({"a.txt": table(row, more="\tSpecies\tAnnotation\tType"), "a.wav": ""})
    assert [each.label for each in read(root).annotations] == ["amered"]
    assert [each.label for each in read(root, label_column="type").annotations] == ["song"]
    with pytest.raises(TableError, match=r"a\.txt:1: no column 'Code'; there are selection, view"):
        read(root, label_column="Code")


def test_noise_is_no_class_and_a_row_without_a_label_is_uncertain(write: Write, read: Read) -> None:
    rows = (
        "1\tSpectrogram 1\t1\t1\t3\t0\t900\tNoise",
        "2\tSpectrogram 1\t1\t4\t5\t0\t900",
        "3\tSpectrogram 1\t1\t6\t7\t0\t900\tamered",
    )
    found = read(write({"a.txt": table(*rows, more="\tSpecies"), "a.wav": ""}))
    assert [(each.label, each.kind) for each in found.annotations] == [
        (EVERY_CLASS, "absent"),
        (EVERY_CLASS, "uncertain"),
        ("amered", "present"),
    ]
    assert [tuple(each) for each in found.problems] == [
        ("row without a label: uncertain for every class", "a.txt:3", "1 row")
    ]


def test_labels_are_cut_to_their_recording(write: Write, read: Read) -> None:
    rows = (
        "1\tSpectrogram 1\t1\t-1\t3\t0\t900\ta",
        "2\tSpectrogram 1\t1\t9\t12\t0\t900\ta",
        "3\tSpectrogram 1\t1\t9.5\t10.05\t0\t900\ta",
        "4\tSpectrogram 1\t1\t11\t12\t0\t900\ta",
        "5\tSpectrogram 1\t1\t4\t4\t0\t900\ta",
    )
    root = write({"a.txt": table(*rows, more="\tSpecies"), "a.wav": ""})
    found = read(root, {"a.wav": 10.0})
    assert [(each.start_s, each.end_s) for each in found.annotations] == [
        (0, 3),
        (9, 10),
        (9.5, 10),
    ]
    assert sorted(tuple(each) for each in found.problems) == [
        ("label outside its recording, left out", "a.txt:5", "1 row: 11 to 12 s of 10 s"),
        ("label that begins before its recording, cut", "a.txt:2", "1 row: -1 s"),
        ("label that ends after its recording, cut", "a.txt:3", "1 row: 9 to 12 s of 10 s"),
        ("label without length, left out", "a.txt:6", "1 row: 4 s"),
    ]
    assert len(read(root).annotations) == 4  # where no duration is known


def test_a_time_that_is_none_is_refused_with_its_line(write: Write, read: Read) -> None:
    root = write({"a.txt": table("1\tSpectrogram 1\t1\tx\t3\t0\t900"), "a.wav": ""})
    with pytest.raises(TableError, match=r"a\.txt:2: begin time s 'x' is no time: give seconds"):
        read(root)


LABEL = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='"'), min_size=1)
TIMES = st.tuples(st.floats(0, 1e5), st.floats(0.01, 60))


@given(st.lists(st.tuples(TIMES, LABEL)))
def test_selections_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[tuple[float, float], str]]
) -> None:
    rows = [
        f"{number}\t{view} 1\t1\t{start!r}\t{start + length!r}\t100.0\t200.0\t{label}"
        for number, ((start, length), label) in enumerate(written)
        for view in ("Waveform", "Spectrogram")
    ]
    path = tmp_path_factory.getbasetemp() / "written.txt"
    path.write_text(table(*rows, more="\tSpecies"))
    found = raven.read(Table(path, path.name), Annotations(label_column="species"))
    assert [(row.start_s, row.label) for row in found] == [
        (start, nfc(label)) for (start, _), label in written
    ]


@given(st.text(max_size=40), st.lists(st.text('1.:\t\n\r-xé"', max_size=30), max_size=5))
def test_any_table_is_read_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, more: str, rows: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    text = table(*rows, more=f"\tSpecies\t{more}")
    path.write_text(text.encode(errors="replace").decode(), newline="")
    given_table = Table(path, path.name)
    if raven.fits(given_table):
        try:
            raven.read(given_table, Annotations())
        except TableError as error:
            assert str(error).startswith(f"{path}:")  # noqa: PT017
