"""What was fetched lately counts against what iNaturalist grants."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from birdcore.archives import allowance
from birdcore.archives.folder import Fetched, folder_of, note_fetched, set_up

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours_ago", "says"),
    [
        ((), ""),
        ((0.5,), ""),
        ((0.5, 0.9), "hour"),
        ((0.5, 1.5), ""),
        ((2, 3, 4, 23), "day"),
        ((2, 3, 4, 25), ""),
    ],
)
def test_hours_and_days_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours_ago: tuple[float, ...], says: str
) -> None:
    hour, day = (window for window, _, _ in allowance.WINDOWS)
    monkeypatch.setattr(allowance, "WINDOWS", ((hour, 20, "hour"), (day, 40, "day")))
    folder = folder_of(tmp_path, "inaturalist")
    set_up(folder)
    for number, hours in enumerate(hours_ago, 1):
        (folder / "recordings" / f"iNat{number}.wav").write_bytes(b"1234567890")
        when = (NOW - timedelta(hours=hours)).isoformat()
        note_fetched(folder, Fetched(number, f"iNat{number}.wav", "5a", 10, "https://x", when))
    why = allowance.used_up(folder, NOW)
    assert why.partition(",")[0] == (f"waits: 0.0 GB came within the {says}" if says else "")
