"""Detection over many files and long ones: killed, shared by processes, and flat in memory."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.config import Predict
from birdcore.detection.work import FOLDER
from birdcore.store.locks import is_locked
from tests.support.small_run import write_run

FILES, KILLS = 200, 20
LINKS, LINKS_MB = 6_000, 140
"""An eighth of what benchmarks/results/memory.md has, which takes many minutes."""
LONG_S, LONG_MB = 4 * 3600, 1500
"""Long enough for codes in a temporary file; a day is in benchmarks/results/memory.md."""
RATE = 8_000
FORMATS = ("--rtype", "table,csv,audacity,parquet", "--min_conf", "0.3")
TABLES = ("files.csv", "detections.*", "tables/**/*.txt")
STOPPED = "stopped; run the same command again to continue"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's results: two small models whose mel has as many bins as ours have."""
    folder = tmp_path_factory.mktemp("run") / "out"
    members = {"one/test_resnet": ["one"], "two/test_resnet": ["two"]}
    weights = dict.fromkeys(members, 0.5)
    write_run(folder, members, weights, Predict(), n_mels=128)
    return folder


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 200 recordings, among them one that can't be read."""
    folder, rng = tmp_path_factory.mktemp("disk"), np.random.default_rng(0)
    for number in range(FILES):
        seconds = 10 + number % 7
        swell = np.sin(np.arange(seconds * RATE) / 3_000)
        path = folder / f"site {number % 5}" / f"{number:03d}.flac"
        path.parent.mkdir(exist_ok=True)
        sf.write(path, 0.1 * swell * rng.standard_normal(len(swell)), RATE)
    (folder / "site 3" / "003.flac").write_bytes(b"fLaC")
    return folder


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """`birdflow detect` as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "detect", *map(str, words)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, process_group=0,
    ) as process:  # fmt: skip
        yield process


def detected(*words: object) -> str:
    with started(*words) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def tables(out: Path) -> dict[str, bytes]:
    """All tables that were written, by their names; the page is drawn from them."""
    files = (path for pattern in TABLES for path in out.glob(pattern))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def parts(out: Path) -> set[Path]:
    return set((out / FOLDER / "parts").glob("*.parquet"))


def at_work(out: Path) -> bool:
    return any(is_locked(path) for path in (out / FOLDER / "locks").glob("0000-*"))


@pytest.fixture(scope="module")
def whole(run: Path, disk: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert f"{FILES} files" in detected(disk, "--model", run, "--out", out, *FORMATS)
    found = tables(out)
    assert len(found) == FILES + 4
    assert found["detections.csv"].count(b"\n") > FILES / 2
    return found


def test_twenty_kills_leave_the_same_tables(
    run: Path, disk: Path, whole: dict[str, bytes], tmp_path: Path, until: Callable[..., None]
) -> None:
    out = tmp_path / "out"
    for kill in range(KILLS):
        before = parts(out)
        with started(disk, "--model", run, "--out", out, *FORMATS) as process:
            # By turns as its work begins, and as soon as a group is published.
            moment = (lambda: at_work(out)) if kill % 2 else (lambda: parts(out) > before)  # noqa: B023
            until(lambda: moment() or process.poll() is not None, 300)  # noqa: B023
            process.kill()
            said = process.communicate()[0]
        assert process.returncode == -signal.SIGKILL, f"kill {kill}: it ended: {said}"
    assert not (out / "files.csv").exists()
    detected(disk, "--model", run, "--out", out, *FORMATS)
    assert tables(out) == whole


def test_processes_share_a_folder(
    run: Path, disk: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    words = (disk, "--model", run, "--out", tmp_path / "out", *FORMATS)
    with started(*words) as one, started(*words) as two, started(*words) as three:
        said = [process.communicate()[0] for process in (one, two, three)]
    assert [process.returncode for process in (one, two, three)] == [0, 0, 0], said
    own = [int(found[1]) for text in said if (found := re.search(r"^(\d+) files", text, re.M))]
    assert sum(own) == FILES
    assert tables(tmp_path / "out") == whole


def test_ctrl_c_ends_at_once_and_says_how_to_go_on(
    run: Path, disk: Path, tmp_path: Path, until: Callable[..., None]
) -> None:
    out = tmp_path / "out"
    with started(disk, "--model", run, "--out", out) as process:
        until(lambda: at_work(out) or process.poll() is not None, 300)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == STOPPED
    assert "Traceback" not in said


OVER_LINKS = """
import resource, sys
from pathlib import Path
from benchmarks.peak import peak_mb
from birdcore.detection.detect import detect
from birdcore.detection.files import find_recordings
from birdcore.detection.settings import DetectSettings
from tests.birdcore.detection.loudness import Loudness

def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def run(folder):
    files = find_recordings([folder])
    detect(
        files, Loudness(), DetectSettings(), folder.with_suffix(".out"), threads=2,
        rtypes=["table", "csv", "kaleidoscope", "parquet"],
    )

few, many = map(Path, sys.argv[1:])
run(few)  # what is loaded once
before = rss()
run(many)
print(peak_mb() - before / 1e6)
"""


def test_memory_is_flat_over_many_files(tmp_path: Path) -> None:
    tone = 0.9 * np.sin(np.arange(RATE) * 0.7)
    sf.write(tmp_path / "one.wav", tone, RATE)
    for folder, count in (("few", 50), ("many", LINKS)):
        for number in range(count):
            path = tmp_path / folder / f"site-{number // 1000:03d}" / f"{number:06d}_20250601.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(tmp_path / "one.wav", path)
    command = [sys.executable, "-c", OVER_LINKS, tmp_path / "few", tmp_path / "many"]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    with (tmp_path / "many.out" / "files.csv").open() as file:
        assert sum(1 for _ in file) == LINKS + 1
    with (tmp_path / "many.out" / "detections.csv").open() as file:
        assert sum(1 for _ in file) == LINKS + 1
    grew = float(made.stdout)
    print(f"{LINKS} files: {grew:.0f} MB")
    assert grew < LINKS_MB


def test_long_file_takes_little_memory(tmp_path: Path) -> None:
    # A single model with few windows: memory is that of decoding, codes and events.
    run = tmp_path / "run"
    write_run(run, {"a/a": ["a"]}, {"a/a": 1.0}, Predict(step_s=5.0), n_mels=128)
    path, rng = tmp_path / "long" / "long.wav", np.random.default_rng(0)
    path.parent.mkdir()
    minute = 0.1 * rng.standard_normal(60 * RATE)
    with sf.SoundFile(path, "w", RATE, 1, "PCM_U8") as file:
        for _ in range(LONG_S // 60):
            file.write(minute)
    command = [sys.executable, "-c", PEAK, "detect", path, "--model", run]
    command += ["--out", tmp_path / "out", "--threads", "2"]
    made = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    assert "1 files, 4.00 h of audio" in made.stdout
    peak = float(made.stdout.splitlines()[-1])
    print(f"4 h: {peak:.0f} MB")
    assert peak < LONG_MB


PEAK = """
import sys
from benchmarks.peak import peak_mb
from flows.cli import main
assert main(sys.argv[1:]) == 0
print(peak_mb())
"""
