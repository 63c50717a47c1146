"""A dry run has no network, and its estimate follows from what it measured."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from birdcore.export import dry_run as module
from birdcore.export.dry_run import Took, network_off, timed

CONNECT = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


def test_without_namespaces_sockets_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "e"], check=True)
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare there
    assert network_off(tmp_path / "e") == "refused sockets"
    with pytest.raises(ValueError, match="the network is off in a dry run"):
        timed([tmp_path / "e" / "bin" / "python", "-I", "-c", CONNECT], tmp_path)


def test_a_process_is_measured(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.2)"
    took = timed([sys.executable, "-I", "-c", code], tmp_path)
    assert 0.2 < took.wall_s < 60
    assert took.cpu_s < took.wall_s + 1
    with pytest.raises(ValueError, match="the dry run failed: the last word"):
        timed([sys.executable, "-c", "import sys; sys.exit('first\\nthe last word')"], tmp_path)


def test_estimate_scales_to_other_cores() -> None:
    report: dict[str, Any] = {
        "recordings": 10, "rows": 120, "threads": 2, "audio_s": 600.0, "predict_s": 60.0,
        "peak_memory_mb": 512.0,
    }  # fmt: skip
    took = Took(wall_s=66.0, cpu_s=90.0)
    result = module._result(report, took, ("numpy==2",), "namespace", 4)
    assert result.start_s == 6.0
    assert result.s_per_audio_hour == 360.0
    assert result.estimated_minutes == pytest.approx(6 / 60 + 700 * 0.1 * 2 / 4)
    assert result.cpu_minutes == pytest.approx(700 * 0.15 / 4)
    assert result.margin == 2.6
    assert result.fits
    slow = module._result(report | {"predict_s": 600.0}, took, (), "namespace", 4)
    assert not slow.fits


def test_an_environment_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match="no clean environment for the dry run: "):
        module.make_environment(tmp_path / "file" / "e", ["numpy"])
