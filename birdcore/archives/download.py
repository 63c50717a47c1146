"""Recordings from the archive into a collection: each once, whole, byte for byte.

A recording arrives in its partial, which a killed or cut download leaves to the next, is checked
there (its length, and that all of it decodes) and then renamed: what lies under `recordings/` was
whole before it had that name. Its note follows the rename, so a recording without one was published
by a process that was killed between the two, and is taken in. Passing setbacks are tried again here
and by whoever runs the shard again; what stays as it is, is noted with its reason.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from birdcore.archives import folder as collection
from birdcore.archives import publish
from birdcore.archives.client import Archive, is_api
from birdcore.archives.errors import ArchiveError, Refused, Unusable
from birdcore.archives.folder import Failed, Fetched, name_of
from birdcore.archives.pacing import backoff_s
from birdcore.archives.partial import Partial, held
from birdcore.archives.quota import DiskQuota
from birdcore.archives.receive import download, request
from birdcore.archives.record import Record
from birdcore.audio.decode import Rejected
from birdcore.store.artifact import Metrics, Progress
from birdcore.store.files import file_sha256
from birdcore.store.store import no_progress

KEEP_FREE_BYTES = 1 << 30
PATIENCE_S = 60.0
UNKNOWN_KEY, GONE = 401, (404, 410)
A_DAY_S = 20 * 3600
"""What an archive says twice, so long apart, is so: a bad night of its own ends."""
IN_A_ROW = 3
"""So many setbacks, one after the other, are the archive's and not the recordings'."""


@dataclass(frozen=True)
class DownloadResult:
    """What came of a list of recordings; `fetched` are those that were not there before."""

    fetched: tuple[Fetched, ...]
    there: tuple[Fetched, ...]
    unusable: tuple[Failed, ...]
    folder: Path

    @property
    def metrics(self) -> Metrics:
        return {
            "fetched": len(self.fetched),
            "there": len(self.there),
            "unusable": {name_of(self.folder, f.id): f.reason for f in self.unusable},
            "bytes": sum(f.bytes for f in self.fetched),
        }


@dataclass(frozen=True)
class _Context:
    """What all recordings of a call share."""

    archive: Archive
    folder: Path
    quota: DiskQuota
    patience_s: float


def fetch(
    archive: Archive,
    record: Record,
    folder: Path,
    *,
    keep_free_bytes: int = KEEP_FREE_BYTES,
    patience_s: float = PATIENCE_S,
) -> Fetched:
    """The recording in the collection `folder`: the one that is there, or downloaded now.

    Waits for another process that downloads the same recording.

    Args:
        archive: Where from.
        record: What the archive lists.
        folder: The collection.
        keep_free_bytes: What is left of the disk to others.
        patience_s: What an answer may take, beside a second for every 20 kB.

    Raises:
        Unusable: The recording can't be had or used.
        ArchiveError: It can't be had at the moment.
        Refused: The archive does not take the key (401).
        OSError: The disk is full, or would have less free than it should (ENOSPC).
    """
    context = _Context(archive, folder, DiskQuota(folder, keep_free_bytes), patience_s)
    return _fetch(context, record, wait=True)[0]


def fetch_all(
    archive: Archive,
    records: Iterable[Record],
    folder: Path,
    progress: Progress = no_progress,
    *,
    keep_free_bytes: int = KEEP_FREE_BYTES,
    patience_s: float = PATIENCE_S,
) -> DownloadResult:
    """All the recordings, last those that others are at; one that fails does not stop the next.

    Raises ArchiveError at the end where some could not be had in passing, and at once where three
    in a row could not: asked again, only what is missing is fetched. Refused and OSError (ENOSPC),
    as of `fetch`, stop at once.
    """
    context = _Context(archive, folder, DiskQuota(folder, keep_free_bytes), patience_s)
    waiting = list({record.id: record for record in records}.values())
    # Last those that failed before, and of these the latest: a few that always do must not keep us
    # from the others, nor from each other.
    before = {record.id: collection.failure(folder, record.id) for record in waiting}
    waiting.sort(key=lambda record: failed.when if (failed := before[record.id]) else "")
    total, fetched, there = len(waiting), list[Fetched](), list[Fetched]()
    unusable, setbacks, in_a_row = list[Failed](), list[str](), 0
    for wait in (False, True):
        busy: list[Record] = []
        for record in waiting:
            try:
                recording, is_new = _fetch(context, record, wait)
                (fetched if is_new else there).append(recording)
            except BlockingIOError:
                busy.append(record)
                continue
            except Unusable as why:
                unusable.append(why.failed)
            except ArchiveError as error:
                setbacks.append(str(error))
                if (in_a_row := in_a_row + 1) == IN_A_ROW:
                    raise _unavailable(setbacks, total) from None
            else:
                in_a_row = 0
            done = len(fetched) + len(there) + len(unusable) + len(setbacks)
            progress(done, total, name_of(folder, record.id))
        waiting = busy
    if setbacks:
        raise _unavailable(setbacks, total)
    return DownloadResult(tuple(fetched), tuple(there), tuple(unusable), folder)


def _unavailable(setbacks: list[str], total: int) -> ArchiveError:
    return ArchiveError(
        f"{len(setbacks)} of {total} recordings could not be fetched; the first: {setbacks[0]}"
    )


def _fetch(context: _Context, record: Record, wait: bool) -> tuple[Fetched, bool]:
    """The recording, and whether it was downloaded now."""
    if there := collection.find(context.folder, record.id):
        return there, False
    with context.quota.when_full():
        collection.set_up(context.folder)
        with held(context.folder, record.id, wait) as partial:
            if there := collection.find(context.folder, record.id) or publish.adopt(
                record, context.folder
            ):
                partial.remove()
                return there, False
            with _recording_failure(record, context, partial):
                _download(context, record, partial)
            return publish.publish(record, context.folder, partial), True


@contextmanager
def _recording_failure(record: Record, context: _Context, partial: Partial) -> Iterator[None]:
    folder, name = context.folder, name_of(context.folder, record.id)
    try:
        yield
    except Refused as error:
        if error.status == UNKNOWN_KEY and is_api(context.archive, record.file_url or ""):
            raise  # it was shown the key, and says nothing of the recording
        partial.remove()
        before = collection.failure(folder, record.id)
        if before is None or before.reason != str(error):
            before = Failed(record.id, str(error), False, collection.now())
        gone = error.status in GONE and _age_s(before) >= A_DAY_S
        # The first time stays, so that it is seen how long it has been so.
        failed = replace(before, permanent=before.permanent or gone)
        collection.note_failed(folder, failed)
        raise Unusable(failed, name) from None
    except Unusable as why:
        partial.remove()
        collection.note_failed(folder, why.failed)
        raise
    except ArchiveError as error:
        if not partial.size:
            partial.remove()
        before = collection.failure(folder, record.id)
        met = before.sha256 if before else ""
        note = Failed(record.id, str(error), False, collection.now(), met)
        collection.note_failed(folder, note)
        raise ArchiveError(f"{name}: {error}") from None


def _age_s(failed: Failed) -> float:
    """Seconds since a failure was noted; none where its time can't be read."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(failed.when)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _download(context: _Context, record: Record, partial: Partial) -> None:
    """Fill the partial with the whole recording, checked.

    Bytes that can't be used are doubted once: the archive is asked for more of them, or again.
    Where it has no others the recording is unusable, for good if an earlier run met the same.
    """
    name = name_of(context.folder, record.id)
    before = collection.failure(context.folder, record.id)
    if before and before.permanent:
        raise Unusable(replace(before, when=collection.now()), name)
    if record.file_url is None:
        reason = "the archive does not give its file away"
        raise Unusable(Failed(record.id, reason, False, collection.now()), name)
    context.quota.check(0)
    why, doubted = "", ""
    for attempt in range(context.archive.retries + 1):
        if attempt:
            context.archive.sleep(backoff_s(attempt - 1, context.archive.rng))
        response = request(context.archive, record.file_url, partial)
        try:
            if response is not None:
                download(response, record.file_url, partial, context.quota, context.patience_s)
            return publish.check(record, partial.path)
        except ArchiveError as error:
            why = str(error)
        except Rejected as error:
            why, sha256 = str(error), file_sha256(partial.path)
            if sha256 == doubted:
                for_good = before is not None and before.sha256 == sha256
                failed = Failed(record.id, why, for_good, collection.now(), sha256)
                raise Unusable(failed, name) from None
            doubted = sha256
            partial.doubt()
    raise ArchiveError(f"{why}; tried {context.archive.retries + 1} times")
