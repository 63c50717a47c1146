"""From probabilities over recordings to events and to the tables that people's tools open.

`birdcore.detection.detect` joins the parts: files, models, events, tables and their writers,
metadata of recorders, species lists, and the work on many files, which is resumed and shared.
"""

from birdcore.late_imports import late_imports

__all__ = [
    "DetectSettings", "EventSettings", "Events", "FileRow", "RecorderInfo", "Species",
    "find_events", "find_recordings", "open_detector", "read_recorder", "window_events",
    "write_page",
]  # fmt: skip

__getattr__ = late_imports(
    __name__,
    {
        "events": ["EventSettings", "Events", "find_events", "window_events"],
        "files": ["find_recordings"],
        "models": ["open_detector"],
        "page": ["write_page"],
        "recorders": ["read_recorder"],
        "settings": ["DetectSettings"],
        "table": ["FileRow", "RecorderInfo", "Species"],
    },
)
