"""How much sound iNaturalist lets anybody fetch: more may get an address blocked for good.

Its recommended practices name 5 GB of media an hour and 24 GB a day. The notes of a collection say
how much came when, so this holds over the tasks, processes and runs that fill one folder; the
limits here leave room for what several tasks fetch between two looks at the notes.
"""

from datetime import datetime, timedelta
from pathlib import Path

from birdcore.archives.folder import collected

WINDOWS = ((timedelta(hours=1), 3_000_000_000, "hour"), (timedelta(days=1), 20_000_000_000, "day"))


def used_up(folder: Path, now: datetime) -> str:
    """Why nothing more may be fetched for a while; "" where something may.

    Args:
        folder: Of the recordings.
        now: With a time zone.
    """
    notes = [(datetime.fromisoformat(note.when), note.bytes) for note in collected(folder).values()]
    for window, most, name in WINDOWS:
        came = sum(size for when, size in notes if now - window < when)
        if came >= most:
            return f"waits: {came / 1e9:.1f} GB came within the {name}, and iNaturalist grants that"
    return ""
