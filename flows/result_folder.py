"""The folder of `--out`: only files that birdflow wrote there are replaced or removed.

    OUT/.birdflow.json     the files that birdflow wrote, each with its sha256

A file that is not on that list is the user's own, whatever its name, and so is a listed one whose
content has changed since.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from birdcore.store.files import (
    Irregular,
    file_sha256,
    read_regular,
    refuse_links,
    regular_files,
    remove,
    replacing,
    write_text,
)
from birdcore.store.manifest import name_problem

MARK = ".birdflow.json"
MARK_BYTES = 1 << 24
RESULTS = (
    "submission.csv", "submission-*.csv", "probabilities.csv", "predictions.*", "scores.json",
    "summary.md", "report", "cuts.csv", "rejected.csv", "leaks.csv", "problems.csv",
    "ATTRIBUTION.csv", "MODEL_CARD.md", "model", "settings.json",
)  # fmt: skip
"""What a run may write, as patterns of names."""
LINKED = {".safetensors", ".onnx"}
"""Files that are linked to those of the store, where the file system can."""
EARLIER_MARK = "report/.birdflow"
"""What versions up to 0.1 left; all results beside it were written by them."""


class ForeignFile(ValueError):
    """A file that birdflow did not write has the name of a result; the message says which."""


def is_results(folder: Path) -> bool:
    """Whether a folder is one that a run has written its results to."""
    return (folder / MARK).is_file()


def refuse_foreign(out: Path) -> None:
    """Raises ForeignFile where a result would replace another's file; writes nothing."""
    if not out.is_dir():
        if out.exists() or out.is_symlink():
            raise ForeignFile(f"{out} is no folder: name another one with --out")
        return
    listed = _listed(out)
    folders = {name.partition("/")[0] for name in listed if "/" in name}
    for path in sorted(path for pattern in RESULTS for path in out.glob(pattern)):
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and path.name in folders:
            continue  # files that a user has added to it stay there
        for file in _within(path) if is_folder else [path]:
            _refuse_foreign(out, file.relative_to(out).as_posix(), listed)


def replace_results(out: Path, files: Mapping[str, str | Path]) -> None:
    """Write all results of a run, and remove those of an earlier one.

    Args:
        out: The folder; it is made where it lacks.
        files: By their names: texts, or files to copy.

    Raises:
        ForeignFile: A name is taken by another's file; nothing is written then.
    """
    refuse_foreign(out)
    write_results_to(out, files)
    _remove_others(out, files.keys())


def write_results_to(out: Path, files: Mapping[str, str | Path]) -> None:
    """Write some results, each in full or not at all; others stay as they are.

    Raises:
        ForeignFile: A name is taken by another's file; nothing is written then.
    """
    listed = _listed(out)
    for name in files:
        _refuse_foreign(out, name, listed)
    digests = {name: _sha256(content) for name, content in files.items()}
    out.mkdir(parents=True, exist_ok=True)
    # Listed before they are written: a kill in between leaves no file that is not listed.
    _write_list(out, listed | digests)
    for name, content in files.items():
        if not (out / name).exists() or file_sha256(out / name) != digests[name]:
            _write(out / name, content)


def _write(target: Path, content: str | Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    remove(part)
    with replacing(target, part):
        if isinstance(content, Path):
            _link_or_copy(content, part)
        else:
            part.write_bytes(content.encode())


def _link_or_copy(source: Path, target: Path) -> None:
    """Have a file of the store at `target`: weights as a link to the same bytes, where the file
    system can, since they are large and nobody edits them."""
    if source.suffix in LINKED:
        with suppress(OSError):  # another file system, or one without links
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def _sha256(content: str | Path) -> str:
    if isinstance(content, Path):
        return file_sha256(content)
    return hashlib.sha256(content.encode()).hexdigest()


def _remove_others(out: Path, written: Collection[str]) -> None:
    """Remove listed files that were not written now and have not been changed since."""
    listed = _listed(out)
    for name in listed.keys() - set(written):
        path = out / name
        with suppress(FileNotFoundError, Irregular):
            refuse_links(out, path)
            if path.is_file() and file_sha256(path) == listed[name]:
                path.unlink()
                for folder in list(Path(name).parents)[:-1]:
                    with suppress(OSError):  # it holds other files
                        (out / folder).rmdir()
    _write_list(out, {name: sha for name, sha in listed.items() if name in written})


def _refuse_foreign(out: Path, name: str, listed: Mapping[str, str]) -> None:
    path = out / name
    try:
        refuse_links(out, path)
        foreign = path.exists() and (name not in listed or not path.is_file())
    except Irregular:
        foreign = True
    if foreign:
        raise ForeignFile(
            f"{path} was not written by birdflow, and would be replaced: "
            "move it away, or name another folder with --out"
        )


def _listed(out: Path) -> dict[str, str]:
    """sha256 of the files that birdflow wrote, by name."""
    try:
        files = json.loads(read_regular(out / MARK, MARK_BYTES))["files"]
    except FileNotFoundError:
        return _of_an_earlier_version(out)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(files, dict) or not all(isinstance(sha, str) for sha in files.values()):
        return {}
    return {name: sha for name, sha in files.items() if not name_problem(name)}


def _of_an_earlier_version(out: Path) -> dict[str, str]:
    mark = out / EARLIER_MARK
    if mark.is_symlink() or not mark.is_file() or mark.parent.is_symlink():
        return {}
    patterns = [pattern for pattern in RESULTS if pattern != "model"]  # it had none
    found = [path for pattern in patterns for path in out.glob(pattern) if not path.is_symlink()]
    files = [file for path in found for file in (_within(path) if path.is_dir() else [path])]
    return {f.relative_to(out).as_posix(): file_sha256(f) for f in files if f.is_file()}


def _within(folder: Path) -> list[Path]:
    """Files in a folder; the folder itself where it is empty or has a link or device in it."""
    try:
        return list(regular_files(folder))
    except Irregular:
        return [folder]


def _write_list(out: Path, files: Mapping[str, str]) -> None:
    write_text(out / MARK, json.dumps({"files": dict(sorted(files.items()))}, indent=1) + "\n")
