"""Fixtures of downloads: an archive on loopback with three recordings, and a client of it."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.archives.client import Archive, open_archive
from birdcore.archives.record import Record
from tests.support.archive import Faults, Served, serve

KEY = "a-key-that-nobody-may-read"
NAMES = ("XC1.mp3", "XC2.flac", "XC3.wav")
SECONDS, RATE = 3, 16_000


def write_noise(path: Path, rng: np.random.Generator) -> None:
    sf.write(path, rng.normal(0, 0.1, SECONDS * RATE), RATE)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        write_noise(folder / "audio" / name, rng)
    return folder


@dataclass(frozen=True)
class Site:
    """A served archive, a client of it, and the collection that is filled from it."""

    shelf: Path
    served: Served
    faults: Faults
    client: Archive
    folder: Path

    def record(self, number: int) -> Record:
        """The record of a recording, also of one that the archive does not have."""
        suffix = next((Path(n).suffix for n in NAMES if n.startswith(f"XC{number}.")), ".mp3")
        url = f"{self.served.url}/{number}/download"
        return Record(number, file_url=url, suffix=suffix, length_s=float(SECONDS))

    def original(self, number: int) -> bytes:
        return next((self.shelf / "audio").glob(f"XC{number}.*")).read_bytes()

    def record_anew(self, name: str) -> None:
        """Another sound of the same length in a recording's place."""
        write_noise(self.shelf / "audio" / name, np.random.default_rng(1))

    @property
    def statuses(self) -> list[int]:
        return [status for _, _, status in self.served.log]

    def left(self) -> set[str]:
        return {path.name for path in (self.folder / "partial").iterdir()}

    def impatient(self) -> Archive:
        return replace(self.client, retries=0)


@pytest.fixture
def site(recordings: Path, tmp_path: Path) -> Iterator[Site]:
    shelf = Path(shutil.copytree(recordings, tmp_path / "shelf"))
    raw = [{"id": str(n), "file": f"//a.example/{n}/download"} for n in (1, 2, 3, 7)]
    (shelf / "recordings.json").write_text(json.dumps(raw))
    faults = Faults()
    with serve(shelf, key=KEY, faults=faults) as served:
        client = open_archive(served.url, KEY, lambda: None, retries=3, sleep=lambda _: None)
        with client:
            yield Site(shelf, served, faults, client, tmp_path / "collection")
        assert served.leaked == []
