"""The records and audio that an archive serves, read again when they change."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

from birdcore.demo.archive.query import Raw, Test, parse

REMEMBERED = 32  # queries whose answers are kept for their other pages


class RecordIndex:
    """The records of `recordings.json` and the audio beside it."""

    def __init__(self, folder: Path, parse: Callable[[str], Test] = parse) -> None:
        """Raises ValueError where the folder holds no readable `recordings.json`."""
        self.folder, self._parse = folder, parse
        self._path = folder / "recordings.json"
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int, int] | None = None
        self._records: dict[str, Raw] = {}
        self._found: dict[str, list[Raw]] = {}
        self._refresh()

    def find(self, query: str) -> list[Raw]:
        """All records that fit, in the order of the file; raises BadQuery."""
        with self._lock:
            self._refresh()
            if query not in self._found:
                if len(self._found) >= REMEMBERED:
                    self._found.clear()
                fits = self._parse(query)
                self._found[query] = [raw for raw in self._records.values() if fits(raw)]
            return self._found[query]

    def audio(self, number: str) -> Path | None:
        """The recording's file; None where there is none or it is not to be had."""
        with self._lock:
            self._refresh()
            record = self._records.get(number)
        if record is None or not is_url(record.get("file")):
            return None
        return next(iter(sorted((self.folder / "audio").glob(f"XC{number}.*"))), None)

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            records = {str(raw["id"]): raw for raw in json.loads(self._path.read_bytes())}
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self._seen is not None:  # it is being written
                return
            raise ValueError(f"{self._path}: no readable list of records: {error!r}") from None
        self._records, self._found, self._seen = records, {}, seen


def is_url(file: object) -> bool:
    """Whether a record's `file` is an address: restricted ones have null or a word there."""
    return isinstance(file, str) and "//" in file
