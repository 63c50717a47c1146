import os
from pathlib import Path

import pytest

from flows.messages import note_earlier_results


def fails(target: Path, *, writes: bool) -> None:
    with note_earlier_results(target):
        if writes:
            (target / "summary.md").write_text("of this run")
        raise ValueError("a step failed")


@pytest.mark.parametrize(("writes", "told"), [(False, True), (True, False)])
def test_results_of_an_earlier_run_are_called_so_when_a_run_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], writes: bool, told: bool
) -> None:
    (tmp_path / "summary.md").write_text("of an earlier run")
    os.utime(tmp_path / "summary.md", (0, 0))
    with pytest.raises(ValueError, match="a step failed"):
        fails(tmp_path, writes=writes)
    assert ("are of an earlier run" in capsys.readouterr().err) is told


def test_without_results_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="a step failed"):
        fails(tmp_path, writes=False)
    assert capsys.readouterr().err == ""
