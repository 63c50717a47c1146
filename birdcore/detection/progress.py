"""How far the detection in many files is: what a terminal shows, and a flow records."""

from typing import NamedTuple

from birdcore.detection.files import Files
from birdcore.detection.table import FileRow
from birdcore.detection.work import Work


class Progress(NamedTuple):
    """How far the work is.

    Attributes:
        files: Files that are done, by whomever.
        all_files: All of them.
        left_bytes: Bytes of the others.
        own_files: Files that this process has done.
        own_seconds: Seconds of audio in them, and of the next what the model has heard so far.
        failed: How many of them could not be read.
        detections: What was found in them.
        checked_s: Seconds that were decoded to see whether files are whole, before a model has
            heard any.
        read_s: Seconds that were then read for the model, likewise.
    """

    files: int
    all_files: int
    left_bytes: int
    own_files: int = 0
    own_seconds: float = 0.0
    failed: int = 0
    detections: int = 0
    checked_s: float = 0.0
    read_s: float = 0.0

    def after(self, row: FileRow, size: int) -> "Progress":
        """The progress after one more file of this process, of so many bytes."""
        return Progress(
            self.files + 1,
            self.all_files,
            self.left_bytes - size,
            self.own_files + 1,
            self.own_seconds + row.seconds,
            self.failed + (not row.rate),
            self.detections + row.detections,
        )

    def within(self, row: FileRow, size: int, heard_s: float) -> "Progress":
        """The progress while so many seconds of one more file of this process have been heard."""
        share = min(heard_s / row.seconds, 1.0) if row.seconds else 0.0
        return self._replace(
            left_bytes=self.left_bytes - round(share * size),
            own_seconds=self.own_seconds + share * row.seconds,
        )

    def of_all(self, work: Work, files: Files) -> "Progress":
        """The same with what all processes have published by now."""
        left = [name for group in work.missing() for name in group.files]
        all_files = sum(len(group.files) for group in work.groups())
        return self._replace(
            files=all_files - len(left),
            all_files=all_files,
            left_bytes=sum(files.sizes.get(name, 0) for name in left),
        )
