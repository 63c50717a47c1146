"""From a trained model and folders of recordings to tables of detections.

`detect` is resumable and shared by processes; what it writes is what people's tools open. Names
are imported when they are used, since some of them need torch.
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
