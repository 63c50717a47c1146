"""From probabilities over recordings to events and to the tables that people's tools open.

Here are the parts: events, tables and their writers, metadata of recorders, species lists, and the
work on many files, which is resumed and shared. No command joins them yet.
"""

from birdcore.late_imports import late_imports

__all__ = [
    "EventSettings", "Events", "FileRow", "RecorderInfo", "Species", "find_events", "read_recorder",
    "window_events",
]  # fmt: skip

__getattr__ = late_imports(
    __name__,
    {
        "events": ["EventSettings", "Events", "find_events", "window_events"],
        "recorders": ["read_recorder"],
        "table": ["FileRow", "RecorderInfo", "Species"],
    },
)
