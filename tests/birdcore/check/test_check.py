"""A check of real folders, and of copies of them in which problems are planted: each is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.check.facts import Check, Finding
from birdcore.check.inspect import check_folder
from birdcore.check.machine import Machine
from birdcore.check.text import lines
from birdcore.config import read_recipe

SMALL = Machine(2, 8 * 2**30)
Copied = Callable[[str], Path]


@pytest.fixture
def copied(shared_data: Path, tmp_path: Path) -> Copied:
    """A copy of a real folder, to plant problems in."""

    def copy(name: str) -> Path:
        target = tmp_path / Path(name).name
        return Path(shutil.copytree(shared_data / name, target))

    return copy


def look(folder: Path, *, by_sound: bool = False) -> Check:
    return check_folder(folder, machine=SMALL, by_sound=by_sound)


def named(found: tuple[Finding, ...]) -> dict[str, str]:
    """The first place and detail of each kind of problem."""
    return {each.kind: f"{each.first[0].where} {each.first[0].detail}" for each in found}


def all_named(check: Check) -> dict[str, str]:
    return named((*check.damaged, *check.ignored, *check.copies))


def cut(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def add_line(table: Path, line: str) -> None:
    table.write_text(table.read_text().rstrip("\n") + f"\n{line}\n")


@pytest.mark.parametrize(
    ("name", "layout", "classes", "recordings"),
    [
        ("birdclef-mini", "BirdCLEF+ 2025 and 2026", 26, 220),
        ("birdclef-2026-mini", "BirdCLEF+ 2025 and 2026", 12, 119),
        ("field/folder-per-class", "a folder for each class", 9, 49),
        ("field/raven-noisy-pitta", "recordings with tables of labels", 1, 16),
        ("field/csv-windows", "recordings with tables of labels", 1, 2),
    ],
)
def test_real_folders(
    shared_data: Path, tmp_path: Path, name: str, layout: str, classes: int, recordings: int
) -> None:
    check = look(shared_data / name)
    assert check.usable
    assert check.layout == layout
    assert len(check.classes) == classes
    assert sum(use.recordings for use in check.uses) == recordings
    assert not check.damaged
    assert not check.copies
    (tmp_path / "starter.toml").write_text(check.recipe)
    recipe = read_recipe(tmp_path / "starter.toml")
    assert recipe.round[0].name == "supervised"
    assert lines(check)[0].startswith(f"layout     {layout}")


def test_what_soundscapes_of_2026_say(shared_data: Path) -> None:
    check = look(shared_data / "birdclef-2026-mini")
    assert check.places.sites == ("S05", "S08", "S19", "S22")
    assert check.places.days == ("2025-06-01", "2025-07-16")
    warbler = next(each for each in check.classes if each.label == "yelwar")
    assert (warbler.clips, warbler.events, warbler.annotated) == (10, 21, 9)
    assert check.groups is not None
    assert check.groups.annotated == 12


@pytest.mark.parametrize("name", ["birdclef-mini", "birdclef-2026-mini"])
def test_problems_in_a_competition_are_named(copied: Copied, name: str) -> None:
    root = copied(name)
    table, folder = root / "train.csv", root / "train_audio" / "yelwar"
    clips = files(folder, "*.ogg")

    def add_row(label: str, file: str) -> None:
        header = table.read_text().splitlines()[0].split(",")
        cells = {"primary_label": label, "filename": file, "secondary_labels": "[]"}
        add_line(table, ",".join(cells.get(column, "") for column in header))

    add_row("yelwar", "yelwar/XC0.ogg")
    add_row("dodo", "yelwar/XC1.ogg")
    shutil.copy(clips[3], folder / "XC1.ogg")
    shutil.copy(clips[0], root / "train_audio" / "bawwar" / "copy.ogg")
    add_row("bawwar", "bawwar/copy.ogg")
    clips[1].write_bytes(b"")
    cut(clips[2])
    test = files(root, "test_soundscapes/*.ogg")[0]
    shutil.copy(test, folder / "heard.ogg")
    (folder / "nobody's.ogg").write_bytes(b"<html>not found</html>")
    (folder / ".XC9.ogg").write_bytes(b"x")
    (root / "extra").mkdir()
    shutil.copy(clips[4], root / "extra" / "é [x] $(y).ogg")
    check = look(root)
    found = all_named(check)
    last = len((root / "train.csv").read_text().splitlines())
    assert found["row without a file"] == f"train.csv:{last - 2} train_audio/yelwar/XC0.ogg"
    assert found["unknown label"] == f"train.csv:{last - 1} dodo"
    copies = [problem for each in check.copies for problem in each.first]
    both = {"train_audio/bawwar/copy.ogg", f"train_audio/yelwar/{clips[0].name}"}
    assert any({each.where, each.detail.split()[4].rstrip(",")} == both for each in copies)
    assert "heard.ogg" in found["test recording in the training data, by content"]
    unread = {p.where: p.detail for each in check.damaged for p in each.first}
    assert unread[f"train_audio/yelwar/{clips[1].name}"] == "empty file (0 bytes)"
    assert "cut off" in unread[f"train_audio/yelwar/{clips[2].name}"]
    assert "not a readable sound file" in unread["train_audio/yelwar/nobody's.ogg"]
    assert found["hidden file"].startswith("train_audio/yelwar/.XC9.ogg")
    assert "extra/é [x] $(y).ogg" in found["recordings where the layout has none"]
    assert "file without a row" in found


def test_problems_of_labelled_soundscapes_are_named(copied: Copied) -> None:
    root = copied("birdclef-2026-mini")
    table = root / "train_soundscapes_labels.csv"
    name = files(root, "train_soundscapes/*.ogg")[0].name
    add_line(table, f"{name},00:00:58,00:01:03,yelwar")
    add_line(table, f"{name},00:00:10,00:00:15,dodo")
    add_line(table, "BC2026_Train_9999_S05_20250601_000000.ogg,00:00:00,00:00:05,yelwar")
    check = look(root)
    found = all_named(check)
    last = len(table.read_text().splitlines())
    beyond = found["label beyond its recording's end"]
    assert beyond == (
        f"{table.name}:{last - 2} 58 to 63 s of train_soundscapes/{name}, which has 60 s"
    )
    assert found["unknown label"] == f"{table.name}:{last - 1} dodo"
    assert "BC2026_Train_9999" in found["no labelled window"]


def test_problems_in_class_folders_are_named(copied: Copied) -> None:
    root = copied("field/folder-per-class")
    crickets, others = files(root, "Gryllus*/*.flac"), files(root, "Nemobius*/*.flac")
    shutil.copy(crickets[0], others[0].with_name("again.flac"))
    shutil.copy(crickets[1], crickets[1].with_name("again.flac"))
    crickets[2].write_bytes(b"")
    cut(crickets[3])
    (root / "Solitary").mkdir()
    sf.write(root / "Solitary" / "only.wav", np.random.default_rng(1).normal(0, 0.1, 9000), 44100)
    sf.write(root / "Solitary" / "blip.wav", np.random.default_rng(2).normal(0, 0.1, 900), 44100)
    shutil.copy(others[1], root / "loose.flac")
    (root / "notes.csv").write_text("who,when\na,b\n")
    (root / "Solitary" / "song.xyz").write_bytes(b"x")
    check = look(root)
    found = all_named(check)
    assert "Grylluscampestris" in found["same content in two classes"]
    assert "again.flac" in found["same content twice"]
    unread = {p.where.rpartition("/")[2]: p.detail for each in check.damaged for p in each.first}
    assert unread[crickets[2].name] == "empty file (0 bytes)"
    assert "cut off" in unread[crickets[3].name]
    assert found["clip that is too short"].startswith("Solitary/")
    assert found["recording in no folder of a class"].startswith("loose.flac")
    assert found["table of no known format of labels, left out"] == "notes.csv who, when"
    assert found["suffix of no known audio"].startswith("Solitary/song.xyz")


def test_a_folder_of_one_clip_is_never_validated(copied: Copied) -> None:
    root = copied("field/folder-per-class")
    for path in files(root, "Gryllus*/*.flac")[1:]:
        path.unlink()
    check = look(root)
    assert check.imbalances == ("a single recording of Grylluscampestris: never validated",)
    assert check.groups is not None
    assert check.groups.unscored == ("Grylluscampestris",)


def test_problems_of_tables_are_named(copied: Copied) -> None:
    root = copied("field/raven-noisy-pitta")
    table = files(root, "pos/070005/*.txt")[0]
    recording = next(table.parent.glob("sel.01*.flac"))
    header, row = table.read_text().splitlines()[:2]
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=False))
    cells |= {"Begin Time (s)": "9.5", "End Time (s)": "31"}
    add_line(table, "\t".join(cells.get(name, "") for name in header.split("\t")))
    negatives = files(root, "neg/*.flac")
    shutil.copy(recording, negatives[0].with_name("a copy.flac"))
    negatives[1].write_bytes(b"")
    cut(negatives[2])
    check = look(root)
    found = all_named(check)
    assert f"{recording.name}" in found["label beyond its recording's end"]
    assert found["table of a recording that is not there"].startswith("pos/060000/sel.02")
    assert "data.annotations.label" in found["tables without a label"]
    assert (
        "positives; the same as neg/a copy.flac, negatives" in found["same content in two classes"]
    )
    assert found["can't be read"].endswith("empty file (0 bytes)")
    assert "cut off" in found["not whole"]
    assert 'label = "raven-noisy-pitta"' in check.recipe


def test_names_that_are_no_text_are_named(copied: Copied) -> None:
    root = copied("field/folder-per-class")
    source = files(root, "Gryllus*/*.flac")[0]
    shutil.copy(source, bytes(source.parent) + b"/\xf6.flac")
    (source.parent / "gone.flac").symlink_to("nowhere")
    found = all_named(look(root))
    assert found["name that is not UTF-8"] == "Grylluscampestris/\\xf6.flac rename it"
    assert found["link to what is not there"].startswith("Grylluscampestris/gone.flac")


def test_copies_by_sound(copied: Copied) -> None:
    root = copied("field/folder-per-class")
    source = files(root, "Nemobius*/*.flac")[0]
    samples, rate = sf.read(source)
    target = files(root, "Gryllus*/*.flac")[0].with_name("again.ogg")
    sf.write(target, 0.5 * samples[rate // 2 :], rate)
    assert not look(root).copies
    found = named(look(root, by_sound=True).copies)
    assert "again.ogg" in found["same sound in two classes"]
    assert found["same sound in two classes"].endswith(" landmarks")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda root: None, "it is empty"),
        (lambda root: sf.write(root / "a.wav", np.zeros(8000), 8000), "folder for each class"),
        (lambda root: (root / "train.csv").write_text("a,b\n1,2\n"), "no column primary_label"),
    ],
)
def test_why_a_folder_cant_be_used(
    tmp_path: Path, make: Callable[[Path], object], why: str
) -> None:
    make(tmp_path)
    check = look(tmp_path)
    assert not check.usable
    assert why in check.refused
    assert not check.recipe
    assert f"unusable   {check.refused}" in lines(check)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        look(tmp_path / "none")


def test_loose_recordings_have_no_layout_and_times(shared_data: Path) -> None:
    check = look(shared_data / "field" / "recorder-day")
    assert check.layout == "none that is known"
    assert check.refused.count("recordings in a folder for each class") == 1
    assert check.places.days == ("2019-05-22", "2019-05-22")
    assert check.places.recorders == ("Song Meter S4A03895",)


def test_recordings_without_a_sample_are_named(shared_data: Path) -> None:
    check = look(shared_data / "field" / "recorders")
    assert named(check.damaged) == {"can't be read": "empty_2c.wav no samples can be read from it"}


def test_tables_of_unusual_suffixes_are_no_unknown_audio(shared_data: Path) -> None:
    check = look(shared_data / "field" / "other-formats")
    assert named(check.ignored) == {"suffix of no known audio": "sa1.phn .phn"}


def test_a_broken_table_is_named_with_its_line(copied: Copied) -> None:
    root = copied("field/raven-noisy-pitta")
    table = files(root, "pos/070005/*.txt")[0]
    add_line(table, "\t".join(map(str, range(1, 12))))
    files(root, "neg/*.flac")[0].write_bytes(b"")
    check = look(root)
    line = len(table.read_text().splitlines())
    assert check.refused.startswith(f"{table}:{line}: 11 fields where the header has 7")
    assert "tables without a label" in named(check.ignored)
    assert named(check.damaged)["can't be read"].endswith("empty file (0 bytes)")


def test_folder_that_fits_no_layout_is_not_praised(tmp_path: Path) -> None:
    said = "\n".join(lines(check_folder(tmp_path)))
    assert "unusable" in said
    assert "nothing is damaged" not in said
