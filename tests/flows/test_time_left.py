"""The line of progress."""

from birdcore.detection.progress import Progress
from birdcore.detection.table import FileRow, RecorderInfo
from flows.time_left import duration, progress_line


def test_time_left_is_of_all_bytes_by_whomever() -> None:
    first = Progress(0, 48_000, 1000)
    assert progress_line(first, first, 0.0) == "0 of 48,000 files"
    now = Progress(12_000, 48_000, 750, own_files=6_000, own_seconds=36_000.0)
    assert progress_line(now, first, 100.0) == (
        "12,000 of 48,000 files, 10.0 h of audio at 360 × real time, 5 min left"
    )


def test_one_long_file_says_how_far_it_is() -> None:
    first = Progress(0, 1, 1000)
    checked = first._replace(checked_s=7 * 3600)
    assert progress_line(checked, first, 20.0) == "0 of 1 files, 7.0 h of audio checked"
    read = checked._replace(read_s=5 * 3600)
    assert progress_line(read, first, 20.0) == "0 of 1 files, 5.0 h of audio read"
    row = FileRow("day.wav", 24 * 3600.0, 32_000, 1, RecorderInfo(), "key", 0.1)
    assert progress_line(first.within(row, 1000, 6 * 3600), first, 60.0) == (
        "0 of 1 files, 6.0 h of audio at 360 × real time, 3 min left"
    )
    assert first.within(row, 1000, 25 * 3600).left_bytes == 0  # the last window ends after it


def test_durations_are_rounded_to_what_matters() -> None:
    assert [duration(s) for s in (0.4, 89, 91, 5_300, 5_400, 100_000)] == [
        "0 s", "89 s", "2 min", "88 min", "1 h 30 min", "27 h 47 min",
    ]  # fmt: skip
