"""The download drill: an archive that fails and two processes that are killed fill a collection."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from birdcore.archives.folder import collected, failures, recording_path
from birdcore.archives.partial import sweep
from birdcore.archives.record import parse_record
from birdcore.archives.record_table import write_records
from tests.support.archive import Faults, Served, serve

KILLS = 3
FAULTS = 0.2
RESTRICTED, MISSING, NOISE = 551456, 999_999_998, 999_999_999
DOWNLOADER = """
import sys, time
from pathlib import Path
from birdcore.archives.download import fetch_all
from birdcore.archives.client import ArchiveError, open_archive, pace
from birdcore.archives.record_table import read_records

site, records, folder = sys.argv[1:]
def soon(seconds):
    time.sleep(min(seconds, 0.02))
def say(done, total, text):
    print(done, flush=True)
with open_archive(site, "", pace(30), retries=1, sleep=soon) as archive:
    print("ready", flush=True)
    while True:
        try:
            fetch_all(archive, read_records(Path(records)), Path(folder), say)
            break
        except ArchiveError as error:  # as a task that is retried
            print(error, flush=True)
"""


@dataclass
class Watch:
    """What appears under final names while others download, and what must not."""

    folder: Path
    served: Served
    expected: dict[str, str]
    published: dict[str, int] = field(default_factory=dict)  # name: requests logged by then
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        for path in self.folder.glob("recordings/*"):
            if path.name not in self.published:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                self.published[path.name] = len(self.served.log)
                if digest != self.expected.get(path.name):
                    self.wrong.append(path.name)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        done = threading.Event()

        def run() -> None:
            while not done.wait(0.002):
                self.look()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        self.look()

    def asked_again(self) -> list[str]:
        """Recordings that were asked for after they had been published."""
        paths = [path for _, path, _ in self.served.log]
        return [
            name
            for name, since in self.published.items()
            if f"/{Path(name).stem[2:]}/download" in paths[since:]
        ]


@pytest.fixture
def shelf(shared_data: Path, tmp_path: Path) -> Path:
    """The real recordings, one of them restricted, and one file that is none."""
    real = shared_data / "xeno-canto"
    raw = json.loads((real / "recordings.json").read_text())
    (tmp_path / "shelf" / "audio").mkdir(parents=True)
    for path in (real / "audio").iterdir():
        (tmp_path / "shelf" / "audio" / path.name).symlink_to(path)
    (tmp_path / "shelf" / "audio" / f"XC{NOISE}.mp3").write_bytes(b"noise" * 9999)
    raw.append({"id": NOISE, "file": f"//a.example/{NOISE}", "file-name": "noise.mp3"})
    for record in raw:
        if record["id"] == str(RESTRICTED):
            record["file"] = None
    (tmp_path / "shelf" / "recordings.json").write_text(json.dumps(raw))
    return tmp_path / "shelf"


def wanted(shelf: Path, site: str, path: Path) -> dict[str, str]:
    """Write the records, also of one that is gone; returns the digest of each file to be had."""
    raw = [*json.loads((shelf / "recordings.json").read_text()), {"id": MISSING, "file": "//gone"}]
    records = [parse_record({**r, "file": r["file"] and f"{site}/{r['id']}/download"}) for r in raw]
    write_records(path, records)
    files = {path.name: path for path in (shelf / "audio").iterdir()}
    names = {f"XC{record.id}{record.suffix}" for record in records}
    return {
        name: hashlib.sha256(files[name].read_bytes()).hexdigest()
        for name in names & set(files) - {f"XC{NOISE}.mp3", f"XC{RESTRICTED}.mp3"}
    }


def download(command: list[str], seed: int) -> list[str]:
    """Run a downloader to its end after it was killed at random moments; what it said last."""
    rng = np.random.default_rng(seed)
    for kill in range(KILLS + 1):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "ready\n"
            if kill < KILLS:
                time.sleep(rng.uniform(0.1, 1.0))
                run.kill()
            said = run.stdout.read()
        assert run.returncode == (-signal.SIGKILL if kill < KILLS else 0), said
    return said.splitlines()


def test_two_downloaders_that_are_killed_leave_each_recording_once_and_whole(
    shelf: Path, tmp_path: Path
) -> None:
    folder, records = tmp_path / "collection", tmp_path / "records.parquet"
    faults = Faults(rate=FAULTS, rng=np.random.default_rng(3), retry_after="0", drip_s=0.5)
    with serve(shelf, faults=faults) as served:
        expected = wanted(shelf, served.url, records)
        watch = Watch(folder, served, expected)
        command = [sys.executable, "-c", DOWNLOADER, served.url, str(records), str(folder)]
        with watch.at_work(), ThreadPoolExecutor() as pool:
            list(pool.map(download, [command] * 2, [1, 2]))
    assert len(expected) == 119
    assert {path.name for path in folder.glob("recordings/*")} == set(expected)
    there = collected(folder)
    assert {note.name: note.sha256 for note in there.values()} == expected
    for note in there.values():
        content = recording_path(folder, note).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected[note.name]
    assert watch.wrong == []
    assert watch.asked_again() == []
    failed = failures(folder)
    assert {number: note.permanent for number, note in failed.items()} == {
        RESTRICTED: False, MISSING: False, NOISE: True,  # a day must pass before a 404 is believed
    }  # fmt: skip
    assert all(note.reason for note in failed.values())
    assert len({kind for kind, _ in faults.given}) >= 8
    sweep(folder)
    assert not list(folder.glob("partial/*"))
