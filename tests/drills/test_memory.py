"""A recording of hours takes hardly more memory than one of minutes, in every stage on it."""

import subprocess
import sys
from pathlib import Path

HOURS = 1.5
ROOM_MB = 500
"""What stages may hold of a recording, whatever its length; these hours are 690 MB at the rate of
the mel, and the stages that took them whole had 1,000 MB more than for minutes."""


def peaks_mb(work: Path, hours: float) -> dict[str, float]:
    """The most memory of each stage."""
    command = [sys.executable, "-m", "benchmarks.memory", "--hours", str(hours), "--rate", "8000"]
    command += ["--kind", "train_audio", "--work", str(work)]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [line.strip("|").split("|") for line in made.stdout.splitlines()[2:]]
    return {name.strip(): float(peak.replace(",", "")) for name, _, peak, *_ in rows}


def test_memory_does_not_grow_with_a_recordings_length(tmp_path: Path) -> None:
    short, long = peaks_mb(tmp_path / "short", 1 / 6), peaks_mb(tmp_path / "long", HOURS)
    assert list(long) == ["clean", "mel", "fingerprint", "predict"]
    grew = {stage: long[stage] - short[stage] for stage in long}
    assert max(grew.values()) < ROOM_MB, grew
