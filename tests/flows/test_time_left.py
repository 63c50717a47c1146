"""The line of progress."""

from birdcore.detection.progress import Progress
from flows.time_left import duration, progress_line


def test_time_left_is_of_all_bytes_by_whomever() -> None:
    first = Progress(0, 48_000, 1000)
    assert progress_line(first, first, 0.0) == "0 of 48,000 files"
    now = Progress(12_000, 48_000, 750, own_files=6_000, own_seconds=36_000.0)
    assert progress_line(now, first, 100.0) == (
        "12,000 of 48,000 files, 10.0 h of audio at 360 × real time, 5 min left"
    )


def test_durations_are_rounded_to_what_matters() -> None:
    assert [duration(s) for s in (0.4, 89, 91, 5_300, 5_400, 100_000)] == [
        "0 s", "89 s", "2 min", "88 min", "1 h 30 min", "27 h 47 min",
    ]  # fmt: skip
