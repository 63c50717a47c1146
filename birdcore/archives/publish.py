"""From a whole download to a recording of the collection: checked, renamed, and then noted.

In this order, so that a file under `recordings/` is whole whenever a process may be killed; one
without a note was published by a process that was killed between the rename and the note.
"""

from pathlib import Path

from birdcore.archives import folder as collection
from birdcore.archives.folder import RECORDINGS, Fetched
from birdcore.archives.partial import Partial
from birdcore.archives.record import Record
from birdcore.audio.decode import Rejected, decode
from birdcore.store.files import file_sha256, sync


def check(record: Record, path: Path) -> None:
    """Raises Rejected where the file is not the whole recording, as far as one can tell.

    An mp3 that was cut decodes as a shorter one: only the length that the archive lists, in whole
    seconds, tells.
    """
    audio = decode(path)
    seconds = audio.duration_s
    if audio.truncated:
        raise Rejected(f"it ends early, after {seconds:.1f} s")
    if audio.problem:
        raise Rejected(audio.problem)
    if record.length_s is not None and seconds < 0.98 * record.length_s - 1.0:
        raise Rejected(f"{seconds:.1f} s of the {record.length_s:.0f} s that the archive lists")


def publish(record: Record, folder: Path, partial: Partial) -> Fetched:
    """Give a checked partial its name under `recordings/`, and write its note after that."""
    path = folder / RECORDINGS / collection.recording_name(folder, record.id, record.suffix)
    sync(partial.path)
    partial.path.rename(path)
    sync(path.parent)
    fetched = _write_note(record, folder, path)
    partial.remove()
    return fetched


def adopt(record: Record, folder: Path) -> Fetched | None:
    """The recording whose process was killed after it had published it, before it had noted it."""
    path = folder / RECORDINGS / collection.recording_name(folder, record.id, record.suffix)
    if not path.exists() or collection.has_note(folder, record.id):
        return None
    try:
        check(record, path)
    except Rejected:
        return None
    return _write_note(record, folder, path)


def _write_note(record: Record, folder: Path, path: Path) -> Fetched:
    url = (record.file_url or "").partition("?")[0]
    size, sha256 = path.stat().st_size, file_sha256(path)
    note = Fetched(record.id, path.name, sha256, size, url, collection.now())
    collection.note_fetched(folder, note)
    return note
