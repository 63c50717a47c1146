"""The disk is full: a clear failure, nothing half-published, and on it goes after room is made."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.files import CHECKPOINTS
from birdcore.store.inventory import damage, entries
from birdcore.store.store import Store

DISK = 400 << 20
TOLD = "no disk space left"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def leave(disk: Path, room: int) -> None:
    """Fill the disk but for `room` bytes."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if path.is_file())
    with ballast.open("wb") as file:
        file.write(bytes(max(0, DISK - used - room)))


def test_a_full_disk_stops_mel_and_a_checkpoint_and_costs_nothing_more(
    birdflow: Any, whole_run: Any, tiny_data: Path, tiny_recipe: Path, tmp_path: Path, disk: Path
) -> None:
    out = tmp_path / "out"
    places = ("--data", tiny_data, "--store", disk / "store", "--out", out)
    command = ("run", tiny_recipe, *places)
    cleaned = birdflow(*command, "--only", "clean")
    assert cleaned.returncode == 0, cleaned.stdout

    leave(disk, 60 << 10)  # mels take some hundred kilobytes, their folders' pages included
    failed = birdflow(*command, "--only", "mel")
    assert failed.returncode == 1
    assert f"mel train_audio/0000: {TOLD}" in failed.stderr, failed.stderr
    store = Store(disk / "store")
    assert sound(store)
    before = {entry.ref for entry in entries(store)}
    assert "mel train_audio/0000" not in {entry.name for entry in entries(store)}

    leave(disk, 3 << 20)  # mels fit, a checkpoint with its optimizer does not
    failed = birdflow(*command)
    assert failed.returncode == 1
    assert f"train first test_resnet fold 0: {TOLD}" in failed.stderr, failed.stderr
    assert sound(store)
    assert before < {entry.ref for entry in entries(store)}
    assert not list(store.root.glob(f"work/train/*/{CHECKPOINTS}"))
    status = birdflow("status", "--store", store.root)
    assert TOLD in status.stdout
    assert "birdflow retry" in status.stdout

    (disk / "ballast").unlink()
    retried = birdflow("retry", "--store", store.root)
    assert retried.returncode == 0, retried.stdout + retried.stderr
    expected = (whole_run.out / "submission.csv").read_bytes()
    assert (out / "submission.csv").read_bytes() == expected


def sound(store: Store) -> bool:
    return not any(damage(store, entry.ref) for entry in entries(store))
