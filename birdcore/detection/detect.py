"""Files and folders of recordings to tables of detections, resumable, and shared by processes.

Recordings are decoded and made into the model's input by threads, a few ahead of the model, which
runs in the caller's thread over one group of files after another (work.py). So memory holds a few
recordings, however many there are. A file that can't be read costs one row, which says why.
"""

import errno
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa

from birdcore.audio.decode import Audio, Rejected, decode
from birdcore.audio.mono import Mono
from birdcore.compute_threads import run_ahead, torch_pool
from birdcore.detection.files import Files
from birdcore.detection.models import Detector
from birdcore.detection.progress import Progress
from birdcore.detection.recorders import read_recorder
from birdcore.detection.settings import DetectSettings, Selection, select
from birdcore.detection.table import SCHEMA, VERSION, FileRow, RecorderInfo, detections_table
from birdcore.detection.threads import default_threads
from birdcore.detection.work import Claim, Work, open_work
from birdcore.detection.writers import check_rtypes

AHEAD_BYTES = 1 << 29
"""What recordings that wait for the model may take of memory, where there is more than one."""
INPUT_BYTES = {".wav": 1 / 8, ".flac": 1 / 4}
"""About how many bytes of model input a byte of a file becomes, by its suffix; else one."""

OURS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors that are of this machine, not of a file."""
COUNT_S = 10.0
"""Time between looks at what other processes have done."""


class _Prepared(NamedTuple):
    """A file's row and, where it could be read, the model's input of it."""

    row: FileRow
    recording: Any = None


def detect(
    files: Files,
    detector: Detector[Any],
    settings: DetectSettings,
    out: Path,
    *,
    rtypes: Sequence[str] = ("table", "csv"),
    split_tables: bool = False,
    threads: int = 0,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Analyse recordings, and write `files.csv` and tables of what is found.

    Processes that are given the same output folder share its files; each returns when all files are
    done.

    Args:
        files: The recordings, see `find_recordings`.
        detector: The model.
        settings: What is detected.
        out: The output folder, which also keeps how far the work is.
        rtypes: Formats of the tables, see `birdcore.detection.writers.RTYPES`.
        split_tables: A table for each recording instead of one for all.
        threads: Recordings that are prepared at once; 0: `default_threads()`.
        progress: Called at the beginning, as a file is read and heard, and after each; by any
            thread.

    Returns:
        What is done in the end.

    Raises:
        ValueError: The settings do not fit the model, or `out` holds detections of other settings.
        OSError: `out` can't be written to.

    Example:
        >>> detect(
        ...     find_recordings([Path("recordings")]),
        ...     open_detector("out/run"),
        ...     DetectSettings(),
        ...     Path("detections"),
        ... )  # doctest: +SKIP
    """
    check_rtypes(rtypes)
    threads = threads or default_threads()
    selection = select(settings, detector.species, detector.window_s)
    decides = {
        "model": detector.key,
        "schema": VERSION,
        "calibration": None if detector.calibration is None else detector.calibration.key,
        **settings.model_dump(mode="json"),
    }
    work = open_work(out, files.root, files.sizes, decides)
    done, counted = Progress(0, 0, 0).of_all(work, files), time.monotonic()
    progress(done)
    lock, checked_s, read_s, listens = Lock(), 0.0, 0.0, False

    def prepared(checked: float = 0.0, read: float = 0.0) -> None:
        nonlocal checked_s, read_s
        with lock:  # threads prepare
            checked_s, read_s = checked_s + checked, read_s + read
            if not listens:
                progress(done._replace(checked_s=checked_s, read_s=read_s))

    def heard(row: FileRow, seconds: float) -> None:
        nonlocal listens
        listens = True
        progress(done.within(row, files.sizes.get(row.file, 0), seconds))

    prepare = _preparation(files.root, detector, float(selection.thresholds.min()), prepared)
    with torch_pool(threads, "prepare") as pool:
        more = True
        while more:
            with closing(_groups(pool, work, prepare, files, threads)) as groups:
                for claim, group in groups:
                    found = []
                    for row, table in _analysed(group, detector, selection, heard):
                        found.append((row, table))
                        listens, done = True, done.after(row, files.sizes.get(row.file, 0))
                        progress(done)
                    work.publish(claim, found)
                    if time.monotonic() - counted > COUNT_S:
                        done, counted = done.of_all(work, files), time.monotonic()
            more = work.wait_for_others()
    work.finish(rtypes, split_tables=split_tables)
    return done.of_all(work, files)


def _groups(
    pool: ThreadPoolExecutor,
    work: Work,
    prepare: Callable[[str], _Prepared],
    files: Files,
    threads: int,
) -> Generator[tuple[Claim, Iterator[_Prepared]]]:
    """Claimed groups, each with its files, in order; one is read to its end before the next.

    Files of the groups that follow are prepared meanwhile.
    """
    claimed: deque[Claim] = deque()

    def names(claims: Iterator[Claim]) -> Iterator[str]:
        for claim in claims:
            claimed.append(claim)
            yield from claim.group.files

    def input_bytes(name: str) -> float:
        size = files.sizes.get(name, 0)  # a file of an earlier run may be gone
        return size * INPUT_BYTES.get(PurePosixPath(name).suffix.lower(), 1)

    with work.claims() as claims:
        ahead = run_ahead(pool, prepare, names(claims), threads, input_bytes, AHEAD_BYTES)
        prepared = map(itemgetter(1), ahead)
        for first in prepared:
            claim = claimed.popleft()
            group = chain([first], islice(prepared, len(claim.group.files) - 1))
            del first  # it is let go of when it is analysed, not when its group is
            yield claim, group


def _preparation(
    root: Path, detector: Detector[Any], threshold: float, prepared: Callable[..., None]
) -> Callable[[str], _Prepared]:
    """Decodes a file and makes the model's input of it; what is wrong with it is in its row.

    `prepared` is told the seconds of each block: `checked` as a file is decoded, and `read` as its
    samples are then read.
    """

    def told(audio: Audio) -> Iterator[Mono]:
        for block in audio.blocks():
            prepared(read=len(block) / audio.rate)
            yield block

    def prepare(name: str) -> _Prepared:
        path, recorder = root / name, RecorderInfo()
        try:
            recorder = read_recorder(path)
            audio = decode(path, detector.reading, checked=prepared)
            recording = detector.prepare(name, replace(audio, source=partial(told, audio)))
        except (Rejected, OSError) as error:
            if isinstance(error, OSError) and error.errno in OURS:
                raise
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            row = FileRow(name, 0.0, 0, 0, recorder, detector.key, threshold, reason=reason)
            return _Prepared(row)
        seconds, rate, channels = audio.duration_s, audio.rate, audio.channels
        row = FileRow(
            name, seconds, rate, channels, recorder, detector.key, threshold, reason=audio.problem
        )
        return _Prepared(row, recording)

    return prepare


def _analysed(
    files: Iterable[_Prepared],
    detector: Detector[Any],
    selection: Selection,
    heard: Callable[[FileRow, float], None],
) -> Iterator[tuple[FileRow, pa.Table]]:
    """Rows and detections of files, in order; `heard` is told how far the next one is."""
    waiting: deque[tuple[FileRow, bool]] = deque()

    def readable() -> Iterator[Any]:
        for row, recording in files:
            waiting.append((row, recording is not None))
            if recording is not None:
                yield recording
            del recording  # a day's would be held while the next is waited for

    def unreadable() -> Iterator[tuple[FileRow, pa.Table]]:
        while waiting and not waiting[0][1]:
            yield waiting.popleft()[0], SCHEMA.empty_table()

    def of_next(seconds: float) -> None:
        heard(next(row for row, is_readable in waiting if is_readable), seconds)

    for found in detector.events(readable(), selection, of_next):
        yield from unreadable()
        row, _ = waiting.popleft()
        if isinstance(found, Rejected):
            yield replace(row, reason=str(found)), SCHEMA.empty_table()
        else:
            row = replace(row, detections=len(found))
            yield (
                row,
                detections_table(
                    row, found, detector.species, selection.thresholds, detector.calibration
                ),
            )
    yield from unreadable()
