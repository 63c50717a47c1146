"""Which recordings are analysed: those of files and folders that a user names.

A recording is known by its path below the one folder that all lie in, so that tables are short to
read and stay true when that folder is moved.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from birdcore.csv_table import Problem
from birdcore.sources.listing import list_audio
from birdcore.unicode_names import is_utf8


@dataclass(frozen=True)
class Files:
    """Recordings to analyse.

    Attributes:
        root: The folder that all of them are in.
        sizes: Their names relative to it, with slashes, and their bytes.
        passed_over: What looks like a recording and is none, or can't be read.
    """

    root: Path
    sizes: dict[str, int]
    passed_over: tuple[Problem, ...] = ()


def find_recordings(paths: Sequence[Path], leave_out: Path | None = None) -> Files:
    """The recordings of files and folders, with those in folders below.

    Hidden files and folders are passed over.

    Args:
        paths: Files, and folders of files of the suffixes that training reads.
        leave_out: A folder of which nothing is taken: the output folder.

    Raises:
        ValueError: A path is not there, or there is no recording.
    """
    if not paths:
        raise ValueError("name at least one file or folder of recordings")
    out = None if leave_out is None else leave_out.resolve()
    found: dict[Path, int] = {}
    tops: list[Path] = []
    passed_over: list[Problem] = []
    for path in paths:
        if path.is_dir():
            # A link to a folder is followed; a link to a file has the name of the recording.
            folder = path.resolve()
            listing = list_audio(folder.parent, folder.name)
            passed_over += listing.passed_over
            files = list(listing.audio.values())
            tops.append(folder)
        elif path.is_file():
            files = [path.parent.resolve() / path.name]
            tops.append(files[0].parent)
        else:
            raise ValueError(f"{path} is neither a file nor a folder")
        for file in files:
            if not is_utf8(str(file)):
                raise ValueError(f"{str(file)!r} is no UTF-8 name: rename it")
            if out is None or out not in file.parents:
                found[file] = file.stat().st_size
    if not found:
        raise ValueError(f"{', '.join(map(str, paths))}: there is no recording")
    root = os.path.commonpath(tops)
    sizes = {os.path.relpath(file, root).replace(os.sep, "/"): size for file, size in found.items()}
    return Files(Path(root), sizes, tuple(passed_over))
