import ast
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.demo.folder import DemoSettings, soundscapes, write_folder
from birdcore.demo.soundscape import windows

SMALL = DemoSettings(species=2, recordings_per_species=2, unlabelled=2, test=2, soundscape_s=10)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def header(path: Path) -> list[str]:
    with path.open() as file:
        return file.readline().strip().split(",")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "birdclef"
    write_folder(root, SMALL)
    return root


def test_layout_is_that_of_birdclef(demo: Path, shared_data: Path) -> None:
    real = shared_data / "birdclef-mini"
    names = {path.name for path in real.iterdir()} - {"speech_truth.csv"}
    assert {path.name for path in demo.iterdir()} == names | {"demo.json"}
    for name in ("train.csv", "taxonomy.csv"):
        assert header(demo / name) == header(real / name)


def test_rows_and_files_agree(demo: Path) -> None:
    train = rows(demo / "train.csv")
    files = {str(path.relative_to(demo / "train_audio")) for path in demo.glob("train_audio/*/*")}
    labels = [row["primary_label"] for row in rows(demo / "taxonomy.csv")]
    assert len(train) == len(files) == 4
    assert {row["filename"] for row in train} == files
    assert len({row["author"] for row in train}) > 1
    for row in train:
        assert row["filename"].startswith(row["primary_label"] + "/")
        others = ast.literal_eval(row["secondary_labels"])
        assert set(others) <= set(labels) - {row["primary_label"]}
        assert 2.5 <= float(row["rating"]) <= 5
        info = sf.info(demo / "train_audio" / row["filename"])
        assert (info.samplerate, info.channels, info.format) == (32000, 1, "OGG")
        assert 8 <= info.duration <= 25
    stems = [path.stem for path in demo.rglob("*.ogg")]
    assert len(stems) == len(set(stems)) == 8


def test_submission_is_uniform_and_covers_every_window(demo: Path) -> None:
    submission, truth = (
        rows(demo / "sample_submission.csv"),
        rows(demo / "test_soundscapes_labels.csv"),
    )
    wanted = [
        f"{path.stem}_{end}"
        for path in sorted(demo.glob("test_soundscapes/*.ogg"))
        for end in (5, 10)
    ]
    assert [row["row_id"] for row in submission] == [row["row_id"] for row in truth] == wanted
    assert list(submission[0]) == list(truth[0])
    for row in submission:
        assert [float(value) for value in list(row.values())[1:]] == [0.5] * 2


def test_truth_and_sound_are_those_of_the_scenes(demo: Path) -> None:
    truth = rows(demo / "test_soundscapes_labels.csv")
    labels = list(truth[0])[1:]
    made = [windows(scene.events, labels, 10) for scene in soundscapes(SMALL, "test")]
    written = [[int(row[label]) for label in labels] for row in truth]
    np.testing.assert_array_equal(np.concatenate(made), written)
    scene = next(soundscapes(SMALL, "test"))
    heard, _ = sf.read(demo / "test_soundscapes" / f"{scene.stem}.ogg", dtype="float32")
    assert heard.shape == scene.samples.shape
    assert np.corrcoef(heard, scene.samples)[0, 1] > 0.95


def test_same_seed_same_folder_other_seed_another(demo: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "again", SMALL)
    write_folder(tmp_path / "other", replace(SMALL, seed=1))
    paths = [path.relative_to(demo) for path in demo.rglob("*") if path.is_file()]
    for path in paths:
        if path.suffix == ".ogg":
            one, two = (sf.read(root / path)[0] for root in (demo, tmp_path / "again"))
            np.testing.assert_array_equal(one, two)
        else:
            assert (demo / path).read_bytes() == (tmp_path / "again" / path).read_bytes()
    assert (demo / "train.csv").read_text() != (tmp_path / "other" / "train.csv").read_text()
    for path in demo.glob("*_soundscapes/*.ogg"):
        one, two = (
            sf.read(root / path.relative_to(demo))[0] for root in (demo, tmp_path / "other")
        )
        assert not np.array_equal(one, two)


def test_every_species_sings_in_every_split() -> None:
    for settings in (DemoSettings(soundscape_s=5), replace(SMALL, species=12, test=1)):
        for split in ("unlabelled", "test"):
            heard = {
                event.label for scene in soundscapes(settings, split) for event in scene.events
            }
            assert len(heard) == settings.species


def test_more_soundscapes_leave_earlier_ones_as_they_were() -> None:
    few = next(soundscapes(SMALL, "unlabelled"))
    many = next(soundscapes(replace(SMALL, unlabelled=3), "unlabelled"))
    assert few.stem == many.stem
    np.testing.assert_array_equal(few.samples, many.samples)


def test_a_finished_folder_is_left_alone(demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    write_folder(demo, SMALL)
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before


def test_foreign_folders_are_refused(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match=r"not the demo.*another folder"):
        write_folder(tmp_path, SMALL)
    with pytest.raises(ValueError, match=r"other settings.*remove it"):
        write_folder(demo, replace(SMALL, seed=9))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("birdcore.demo.folder._write_ogg", full)
    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "demo", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"species": 1}, {"species": 99}, {"test": 0}, {"soundscape_s": 7}, {"seed": -1}],
)
def test_settings_say_what_is_allowed(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"2 to|ask for"):
        replace(SMALL, **wrong)
