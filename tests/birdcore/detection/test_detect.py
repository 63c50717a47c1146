"""The loop over files: every file has its row, whatever is wrong with it, and work is resumed."""

import csv
import errno
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from birdcore.audio.decode import Audio, Rejected
from birdcore.detection.calibration import calibrate
from birdcore.detection.detect import detect
from birdcore.detection.events import Events
from birdcore.detection.files import find_recordings
from birdcore.detection.models import Heard, no_progress
from birdcore.detection.progress import Progress
from birdcore.detection.settings import DetectSettings, Selection
from birdcore.detection.work import GROUP_FILES
from tests.birdcore.detection.loudness import Loudness

RATE = 8_000
SETTINGS = DetectSettings(min_conf=0.5)


def write(path: Path, *levels: float) -> None:
    """A recording with a tone of these levels, a second each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(RATE) * 0.7)
    sf.write(path, np.concatenate([level * tone for level in levels]), RATE, subtype="FLOAT")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    for number in range(2 * GROUP_FILES + 5):
        loud = 0.9 if number % 3 else 0.1
        write(tmp_path / "disk" / f"site{number % 2}" / f"{number:03d}.wav", 0.1, loud, loud, 0.1)
    (tmp_path / "disk" / "site0" / "004.wav").write_bytes(b"no sound")
    (tmp_path / "disk" / "site1" / "035.wav").write_bytes(b"")
    return tmp_path / "disk"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tables(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.mark.parametrize("threads", [1, 3])
def test_each_file_has_a_row_and_loud_seconds_are_events(
    disk: Path, tmp_path: Path, threads: int
) -> None:
    said: list[Progress] = []
    out = tmp_path / "out"
    done = detect(
        find_recordings([disk]), Loudness(), SETTINGS, out, threads=threads, progress=said.append
    )
    files = {row["file"]: row for row in rows(out / "files.csv")}
    assert list(files) == sorted(files)
    assert len(files) == 37
    assert files["site0/004.wav"]["reason"].startswith("not a readable sound file")
    assert files["site1/035.wav"]["reason"] == "empty file (0 bytes)"
    assert files["site0/000.wav"] == {
        **files["site0/000.wav"], "seconds": "4.0", "rate": "8000", "channels": "1",
        "model": "loudness", "threshold": "0.5", "detections": "0", "reason": "",
    }  # fmt: skip
    found = rows(out / "detections.csv")
    loud = [name for name in files if int(Path(name).stem) % 3 and not files[name]["reason"]]
    assert [row["File"] for row in found] == loud
    assert {(row["Start (s)"], row["End (s)"], row["class"]) for row in found} == {
        ("1.0", "3.0", "loud")
    }
    assert said[0] == Progress(0, 37, sum(find_recordings([disk]).sizes.values()))
    assert [one.files for one in said if not one.checked_s] == list(range(38))
    checked = [(one.checked_s, one.read_s) for one in said if one.checked_s]
    assert checked == sorted(checked)
    assert checked[0] == (4.0, 0.0)
    assert 4.0 <= checked[-1][1] <= checked[-1][0] <= 35 * 4.0
    assert done == said[-1] == Progress(37, 37, 0, 37, 35 * 4.0, 2, len(loud))


class Telling(Loudness):
    """Tells how far it is after each half of a recording."""

    def events(
        self,
        recordings: Iterable[np.ndarray],
        selection: Selection,
        heard: Heard = no_progress,
    ) -> Iterator[Events | Rejected]:
        for peaks in recordings:
            for share in (0.5, 1.0):
                heard(share * len(peaks))
            yield from super().events([peaks], selection)


def test_progress_is_told_within_a_file(tmp_path: Path) -> None:
    write(tmp_path / "disk" / "a.wav", 0.1, 0.9, 0.9, 0.1)
    (tmp_path / "disk" / "b.wav").write_bytes(b"no sound")
    write(tmp_path / "disk" / "c.wav", 0.9, 0.1)
    said: list[Progress] = []
    files = find_recordings([tmp_path / "disk"])
    detect(files, Telling(), SETTINGS, tmp_path / "out", threads=1, progress=said.append)
    heard = [(one.files, one.own_seconds) for one in said if not one.checked_s]
    assert heard == [
        (0, 0.0), (0, 2.0), (0, 4.0), (1, 4.0), (1, 5.0), (1, 6.0), (2, 4.0), (3, 6.0)
    ]  # fmt: skip
    left = [one.left_bytes for one in said]
    assert left[-1] == 0


class Stopped(Exception):
    pass


def test_stopped_work_goes_on_and_ends_with_the_same_tables(disk: Path, tmp_path: Path) -> None:
    files = find_recordings([disk])
    detect(files, Loudness(), SETTINGS, tmp_path / "whole")

    def stop_at(number: int) -> Any:
        def progress(done: Progress) -> None:
            if done.own_files == number:
                raise Stopped

        return progress

    out = tmp_path / "stopped"
    for number in (GROUP_FILES // 2, GROUP_FILES + 1, 3):
        with pytest.raises(Stopped):
            detect(files, Loudness(), SETTINGS, out, threads=2, progress=stop_at(number))
    done = detect(files, Loudness(), SETTINGS, out)
    assert (done.files, done.own_files) == (37, 37 - GROUP_FILES)
    assert tables(out) == tables(tmp_path / "whole")


def test_work_is_shared(disk: Path, tmp_path: Path) -> None:
    files = find_recordings([disk])
    detect(files, Loudness(), SETTINGS, tmp_path / "whole")

    def work(_: int) -> Progress:
        return detect(files, Loudness(), SETTINGS, tmp_path / "shared", threads=2)

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(work, range(3)))
    assert sum(each.own_files for each in done) == 37
    assert tables(tmp_path / "shared") == tables(tmp_path / "whole")


def test_new_files_are_appended(disk: Path, tmp_path: Path) -> None:
    out = disk / "results"
    detect(find_recordings([disk], out), Loudness(), SETTINGS, out)
    write(disk / "aaa.wav", 0.8)
    done = detect(find_recordings([disk], out), Loudness(), SETTINGS, out)
    assert (done.all_files, done.own_files, done.detections) == (38, 1, 1)
    assert rows(out / "files.csv")[-1]["file"] == "aaa.wav"


def test_file_that_is_gone_since_it_was_planned_costs_a_row(disk: Path, tmp_path: Path) -> None:
    files = find_recordings([disk])
    (disk / "site0" / "002.wav").unlink()
    done = detect(files, Loudness(), SETTINGS, tmp_path / "out")
    assert done.failed == 3
    row = next(r for r in rows(tmp_path / "out" / "files.csv") if r["file"] == "site0/002.wav")
    assert row["reason"] == "No such file or directory"


def test_full_disk_stops_the_work_and_is_no_fault_of_a_file(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("birdcore.detection.detect.decode", full)
    with pytest.raises(OSError, match="No space left"):
        detect(find_recordings([disk]), Loudness(), SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out" / "files.csv").exists()


class Unsteady(Loudness):
    """Some recordings can't be read any more when their turn comes."""

    def events(
        self,
        recordings: Iterable[np.ndarray],
        selection: Selection,
        heard: Heard = no_progress,
    ) -> Iterator[Events | Rejected]:
        for number, found in enumerate(super().events(recordings, selection)):
            yield Rejected("changed while it was read") if number == 1 else found


def test_recording_that_fails_in_the_model_costs_a_row(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "disk" / f"{number}.wav", 0.9)
    detect(find_recordings([tmp_path / "disk"]), Unsteady(), SETTINGS, tmp_path / "out")
    files = rows(tmp_path / "out" / "files.csv")
    assert [row["reason"] for row in files] == ["", "changed while it was read", ""]
    assert [row["detections"] for row in files] == ["1", "0", "1"]


class Counted(Loudness):
    """Counts the recordings that are prepared and not yet analysed."""

    def __init__(self, waiting: list[int]) -> None:
        super().__init__()
        self.waiting = waiting

    def prepare(self, name: str, audio: Audio) -> np.ndarray:
        peaks = super().prepare(name, audio)
        self.waiting.append(self.waiting[-1] + 1)
        return peaks

    def events(
        self,
        recordings: Iterable[np.ndarray],
        selection: Selection,
        heard: Heard = no_progress,
    ) -> Iterator[Events | Rejected]:
        for found in super().events(recordings, selection):
            self.waiting.append(self.waiting[-1] - 1)
            yield found


@pytest.mark.parametrize(("room", "most"), [(1 << 29, 4), (1, 1)])
def test_few_recordings_wait_and_large_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, most: int
) -> None:
    for number in range(20):
        write(tmp_path / "disk" / f"{number}.wav", 0.9)
    monkeypatch.setattr("birdcore.detection.detect.AHEAD_BYTES", room)
    waiting = [0]
    detect(
        find_recordings([tmp_path / "disk"]),
        Counted(waiting),
        SETTINGS,
        tmp_path / "out",
        threads=3,
    )
    assert len(waiting) == 41
    assert max(waiting) <= most


def test_settings_of_windows_need_windows(disk: Path, tmp_path: Path) -> None:
    for settings in (DetectSettings(overlap_s=1), DetectSettings(top_n=1)):
        with pytest.raises(ValueError, match="are of fixed windows"):
            detect(find_recordings([disk]), Loudness(), settings, tmp_path / "out")
    with pytest.raises(ValueError, match="an overlap of 3 s does not fit windows of 3 s"):
        detect(
            find_recordings([disk]),
            Loudness(),
            DetectSettings(overlap_s=3, segment_s=3),
            tmp_path / "out",
        )
    with pytest.raises(ValueError, match="windows of 3 s only, not of 5 s"):
        detect(
            find_recordings([disk]),
            Loudness(window_s=3.0),
            DetectSettings(segment_s=5),
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_tables_have_calibrated_probabilities_beside_confidences(
    disk: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random((400, 2))
    truth = rng.random((400, 2)) < confidence / 2
    detector = Loudness(calibration=calibrate(["loud", "quiet"], truth, confidence))
    files, out = find_recordings([disk]), tmp_path / "out"
    detect(files, detector, SETTINGS, out, rtypes=("csv", "parquet"))
    found = pq.read_table(out / "detections.parquet").to_pandas()
    assert found["confidence"].min() >= 0.5
    curve = detector.calibration.curves[0]
    np.testing.assert_allclose(found["probability"], curve(found["confidence"]), atol=1e-6)
    written = [row["probability"] for row in rows(out / "detections.csv")]
    np.testing.assert_allclose([float(text) for text in written], found["probability"], atol=1e-4)
    other = Loudness(calibration=calibrate(["loud", "quiet"], ~truth, confidence))
    with pytest.raises(ValueError, match=r"other settings \(calibration;"):
        detect(files, other, SETTINGS, out)
    detect(files, Loudness(), SETTINGS, tmp_path / "without", rtypes=("csv",))
    assert {row["probability"] for row in rows(tmp_path / "without" / "detections.csv")} == {""}
