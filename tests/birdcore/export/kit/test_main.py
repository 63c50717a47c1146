"""The script's command line."""

from pathlib import Path

import pytest

from birdcore.export.kit import main as kit


def test_less_than_no_thread_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.main([str(tmp_path), "--threads", "-2"]) == 1
    assert "--threads -2: give how many, or 0 for all cores" in capsys.readouterr().err
