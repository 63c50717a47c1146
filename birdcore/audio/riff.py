"""Small chunks of a RIFF file: where recorders write what they know of a recording."""

import struct
from collections.abc import Iterator
from pathlib import Path

MOST_CHUNKS, MOST_BYTES = 256, 1 << 20


def small_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the small chunks of a RIFF file; nothing of another file.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
            return
        for _ in range(MOST_CHUNKS):
            header = file.read(8)
            if len(header) < 8:
                return
            name, length = struct.unpack("<4sI", header)
            after = file.tell() + length + length % 2
            if name != b"data" and length <= MOST_BYTES:
                yield name, file.read(length)
            file.seek(after)
