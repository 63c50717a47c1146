import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.annotations import csv_windows
from birdcore.annotations.annotation import EVERY_CLASS, Annotated
from birdcore.annotations.table import Table
from birdcore.config import Annotations
from birdcore.csv_table import TableError
from birdcore.unicode_names import nfc

Read = Callable[..., Annotated]
Write = Callable[[dict[str, str]], Path]


def test_real_windows_name_recordings_that_are_not_there(shared_data: Path, read: Read) -> None:
    found = read(shared_data / "field" / "csv-windows")
    assert [(each.recording, each.start_s, each.source) for each in found.annotations] == [
        ("audio/FewShot/CHE_02_20190101_183410.wav", 0, "annotations.csv:15"),
        ("audio/FewShot/CHE_02_20190101_183410.wav", 5, "annotations.csv:16"),
        ("audio/FewShot/CHE_03_20190201_163410.wav", 0, "annotations.csv:17"),
        ("audio/FewShot/CHE_03_20190201_163410.wav", 5, "annotations.csv:18"),
    ]
    assert {each.label for each in found.annotations} == {"Common Cuckoo"}
    assert len(found.problems) == 1
    assert found.problems[0].where == "annotations.csv:2"
    assert found.problems[0].detail.startswith("33 rows: audio/FewShot/CHE_01_20190101_163410.wav")
    calls = read(shared_data / "field" / "csv-windows", label_column="label:call_type")
    assert [each.label for each in calls.annotations] == ["B", "A", "A", "A"]


def test_real_soundscapes_of_2026(shared_data: Path, read: Read) -> None:
    root = shared_data / "birdclef-2026-mini"
    found = read(root)
    windows = {(each.recording, each.start_s, each.end_s) for each in found.annotations}
    assert len(windows) == 63
    assert len({recording for recording, *_ in windows}) == 12 == len(found.recordings)
    assert {end - start for _, start, end in windows} == {5}
    assert not any(";" in each.label for each in found.annotations)
    assert len({each.label for each in found.annotations}) == 12
    twice = [each for each in found.problems if "twice" in each.problem]
    assert [each.where for each in twice] == ["train_soundscapes_labels.csv:11"]
    # Two soundscapes have fewer windows than fit: what is not named in them is not annotated.
    per_recording = Counter(recording for recording, *_ in windows)
    assert min(per_recording.values()) < max(per_recording.values()) <= 12
    without = [each for each in found.problems if "without a table" in each.problem]
    assert without[0].detail.startswith("107: ")


@pytest.mark.parametrize(
    ("name", "recordings", "count", "label", "last_s"),
    [
        ("bird1.csv", ["lbr3009_0005_2017_04_27_06_14_46.wav"], 15, "1", 1.2902),
        (
            "bl26lb16_190412_0721.20144_annotations.csv",
            ["bl26lb16_190412_0721.20144.wav"],
            79,
            "i",
            28959,
        ),
    ],
)
def test_real_tables_of_crowsetta_and_das(
    shared_data: Path,
    tmp_path: Path,
    read: Read,
    name: str,
    recordings: list[str],
    count: int,
    label: str,
    last_s: float,
) -> None:
    shutil.copy(shared_data / "field" / "other-formats" / name, tmp_path)
    for recording in recordings:
        (tmp_path / recording).touch()
    found = read(tmp_path)
    assert found.recordings == set(recordings)
    assert len(found.annotations) == count
    assert found.annotations[0].label == label
    assert found.annotations[-1].end_s == pytest.approx(last_s, rel=1e-4)


def test_a_table_in_milliseconds_is_seen_where_durations_are_known(
    shared_data: Path, tmp_path: Path, read: Read
) -> None:
    name = "bl26lb16_190412_0721.20144_annotations.csv"  # start_seconds that are milliseconds
    shutil.copy(shared_data / "field" / "other-formats" / name, tmp_path)
    (tmp_path / "bl26lb16_190412_0721.20144.wav").touch()
    found = read(tmp_path, {"bl26lb16_190412_0721.20144.wav": 60.0})
    assert found.annotations == ()
    assert found.problems[0].problem == "label outside its recording, left out"
    assert found.problems[0].detail.startswith("79 rows: 23331.88 to 23395.5 s of 60 s")


def test_frequencies_of_r_packages_are_in_khz(write: Write, read: Read) -> None:
    monitor = "start.time,end.time,min.frq,max.frq,name\n0:01,0:02.5,1.2,3.4,amered\n"
    warble = "sound.files,channel,selec,start,end,bottom.freq,top.freq,label\nb,1,1,2,3,1,2.5,x\n"
    root = write({"a.csv": monitor, "a.wav": "", "all.csv": warble, "b.wav": ""})
    found = read(root).annotations
    assert [(each.recording, each.low_hz, each.high_hz) for each in found] == [
        ("a.wav", 1200, 3400),
        ("b.wav", 1000, 2500),
    ]
    assert (found[0].start_s, found[0].end_s) == (1, 2.5)


def test_semicolons_and_tabs_between_cells_and_a_length_for_an_end(
    write: Write, read: Read
) -> None:
    semicolons = "filename;start;duration;label\na.wav;0,5;2;amered\n"
    tabs = 'path\tonset\toffset\tspecies\nx/b.flac\t1\t2\tsaid "so"\n'
    root = write({"1.csv": semicolons, "2.tsv": tabs, "a.wav": "", "b.wav": ""})
    assert [(each.start_s, each.end_s, each.label) for each in read(root).annotations] == [
        (0.5, 2.5, "amered"),
        (1, 2, 'said "so"'),
    ]


def test_several_labels_of_a_window_negatives_and_none(write: Write, read: Read) -> None:
    rows = "a,0,5,amered; bawwar;amered\na,5,10,nocall\na,10,15,\n"
    found = read(write({"t.csv": f"filename,start,end,primary_label\n{rows}", "a.ogg": ""}))
    assert [(each.label, each.kind, each.start_s) for each in found.annotations] == [
        ("amered", "present", 0),
        ("bawwar", "present", 0),
        (EVERY_CLASS, "absent", 5),
        (EVERY_CLASS, "uncertain", 10),
    ]


def test_a_row_without_times_says_that_its_recording_was_looked_through(
    write: Write, read: Read
) -> None:
    root = write({"t.csv": "file,start,end,label\na.wav,,,\n", "a.wav": "", "b.wav": ""})
    found = read(root)
    assert found.recordings == {"a.wav"}
    assert found.annotations == ()
    assert [each.where for each in found.problems] == ["."]


def test_when_a_recorder_was_out_is_no_label(write: Write, read: Read) -> None:
    dates = "name,start,end\na,2026-05-01,2026-06-01\n"
    found = read(write({"a.wav": "", "periods.csv": dates}))
    assert found.annotations == ()
    assert found.problems[0] == (
        "table of no known format of labels, left out", "periods.csv", "name, start, end"
    )  # fmt: skip


def test_tables_without_labels_and_damaged_ones_are_refused(write: Write, read: Read) -> None:
    root = write({"t.csv": "file,start_time,end_time,height\na.wav,0,5,17\n", "a.wav": ""})
    with pytest.raises(TableError, match=r"t\.csv:1: no column of labels.*height.*label_column"):
        read(root)
    write({"t.csv": "file,start,end,label\na.wav,0,5,x,y\n"})
    with pytest.raises(TableError, match=r"t\.csv:2: 5 fields where the header has 4"):
        read(root)
    write({"t.csv": 'file,start,end,label\na.wav,0,5,"x\n'})
    with pytest.raises(TableError, match=r"t\.csv:2: not a CSV table: a quote that begins"):
        read(root)
    write({"t.csv": "file,start,end,label,label\na.wav,0,5,x,y\n"})
    with pytest.raises(TableError, match=r"t\.csv:1: column 'label' is there twice"):
        read(root)


WRITTEN = st.tuples(
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.text(st.characters(exclude_categories=["C"], exclude_characters=";")).filter(str.strip),
)


@given(st.lists(WRITTEN, max_size=4), st.sampled_from(",;\t"))
def test_windows_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[float, float, str]],
    delimiter: str,
) -> None:
    file = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL  # so that a table between tabs is seen to have quotes
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
    writer.writerows([("start", "end", "label"), *written])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(file.getvalue().encode())
    found = csv_windows.read(Table(path, path.name), Annotations(label_column="label"))
    assert [(row.start_s, row.end_s, row.label) for row in found] == [
        (start, end, nfc(label).strip()) for start, end, label in written
    ]


@given(st.text(',;"\t\n\r12:.,-e x\x00é', max_size=60))
def test_any_text_is_read_or_refused_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(f"file,start,end,label{text}", newline="")
    table = Table(path, path.name)
    if csv_windows.fits(table):
        try:
            csv_windows.read(table, Annotations())
        except TableError as error:
            assert str(error).startswith(f"{path}:")  # noqa: PT017
