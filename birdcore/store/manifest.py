"""What a manifest says is checked before it is believed: others may write to a shared store.

Its names become paths, its sizes bound what is fetched, its digests say what to ask for. One that
could lead out of the artifact's own folder, or is of another artifact, is no manifest.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from birdcore.store.artifact import MANIFEST, Manifest, Ref, StoredFile
from birdcore.store.files import write_text
from birdcore.store.format import StoreError
from birdcore.store.regular import read_regular, regular_bytes

MOST_BYTES = 1 << 27
"""Of a manifest: that of a million source files has about half of it."""
LONGEST_NAME, LONGEST_PART = 900, 255
"""UTF-8 bytes of a file's name: object stores take 1024 with what lies before, file systems 255."""
LARGEST_FILE = 1 << 50
SHA256 = re.compile(r"[0-9a-f]{64}")
DRIVE = re.compile(r"[A-Za-z]:")

_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


class ManifestError(StoreError):
    """What lies under the name of a manifest is none that can be believed; it says why."""


def parse_manifest(content: bytes, ref: Ref) -> Manifest:
    """The manifest of the artifact `ref`; raises ManifestError where it is none, or another's."""
    if len(content) > MOST_BYTES:
        raise ManifestError(f"the manifest of {ref} has more than {MOST_BYTES} bytes")
    try:
        manifest = _MANIFEST.validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ManifestError(
            f"the manifest of {ref} can't be read: {where or 'it'}: {first['msg']}"
        ) from None
    if why := _unbelievable(manifest, ref):
        raise ManifestError(f"the manifest of {ref} is refused: {why}")
    return manifest


def read_manifest(folder: Path, ref: Ref) -> Manifest:
    """The manifest in an artifact's folder; raises ManifestError, OSError where there is none."""
    try:
        content = read_regular(folder / MANIFEST, MOST_BYTES)
    except ValueError as error:
        raise ManifestError(str(error)) from None
    return parse_manifest(content, ref)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Raises ManifestError, and writes nothing, where nobody could read it again."""
    text = json.dumps(asdict(manifest), indent=1) + "\n"
    parse_manifest(text.encode(), Ref(manifest.stage, manifest.key))
    write_text(folder / MANIFEST, text)


def whole(folder: Path, ref: Ref) -> Manifest | None:
    """The manifest of a folder that holds all that it names, as ordinary files, or None."""
    try:
        manifest = read_manifest(folder, ref)
        there = all(regular_bytes(folder, f.name) == f.bytes for f in manifest.files)
    except (OSError, ManifestError):
        return None
    return manifest if there else None


def _unbelievable(manifest: Manifest, ref: Ref) -> str:
    """Why a manifest of the right types can't be one of the artifact."""
    if (manifest.stage, manifest.key) != (ref.stage, ref.key):
        return f"it is that of {manifest.stage[:40]!r}, {manifest.key[:12]!r}"
    for names in manifest.inputs.values():
        for name in names:
            try:
                Ref.named(name)
            except ValueError as error:
                return str(error)
    seen: set[str] = set()
    for file in manifest.files:
        if why := _no_file(file):
            return f"a file {file.name[:80]!r} {why}"
        if file.name in seen:
            return f"a file {file.name[:80]!r} is there twice"
        seen.add(file.name)
    folders = {parent.as_posix() for name in seen for parent in Path(name).parents}
    if both := sorted(seen & folders):
        return f"{both[0][:80]!r} is both a file and a folder"
    return ""


def name_problem(name: str) -> str:
    """Why a name is not that of a file in a folder of ours; empty for one that is."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or DRIVE.match(name):
        return "leads out of its folder, or nowhere"
    if "\\" in name or not name.isprintable():
        return "has characters that no name of ours has"
    longest = max(len(part.encode()) for part in parts)
    if longest > LONGEST_PART or len(name.encode()) > LONGEST_NAME:
        return "has too long a name"
    return ""


def _no_file(file: StoredFile) -> str:
    """Why a file of a manifest is none; empty for one that is."""
    if why := name_problem(file.name):
        return why
    if file.name == MANIFEST:
        return "would be the manifest itself"
    if not SHA256.fullmatch(file.sha256):
        return "has no sha256"
    return "" if 0 <= file.bytes <= LARGEST_FILE else "has a size that no file has"
