"""Manifests: written once an artifact's files are finished, and validated whenever they are read.

Others may write to a shared store. A manifest's names become paths, its sizes bound what is fetched
and its digests say what to ask for, so one that could lead out of the artifact's own folder, or
that belongs to another artifact, is refused.
"""

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from birdcore.store.artifact import MANIFEST, Manifest, Metrics, Ref, Step, StoredFile
from birdcore.store.files import (
    checkpoint_files,
    file_sha256,
    read_regular,
    regular_bytes,
    regular_files,
    write_text,
)
from birdcore.store.format import StoreError

MOST_BYTES = 1 << 27
"""Of a manifest: that of a million source files has about half of it."""
LONGEST_NAME, LONGEST_PART = 900, 255
"""UTF-8 bytes of a file's name: object stores take 1024 with what lies before, file systems 255."""
LARGEST_FILE = 1 << 50
SHA256 = re.compile(r"[0-9a-f]{64}")
DRIVE = re.compile(r"[A-Za-z]:")

_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


class ManifestError(StoreError):
    """A manifest can't be read or is not valid; the message says why."""


def build_manifest(step: Step, folder: Path, metrics: Metrics, took_s: float) -> Manifest:
    """The manifest of a folder that `step` has written.

    Args:
        step: What was done.
        folder: Its files, of which each is listed with its size and sha256, but for checkpoints.
        metrics: What `run` returned.
        took_s: Seconds that it took.

    Raises:
        Irregular: There is a link or a device among the files.
    """
    unlisted = {folder / MANIFEST, *checkpoint_files(folder)}
    paths = sorted(p for p in regular_files(folder) if p not in unlisted)
    return Manifest(
        stage=step.stage,
        version=step.version,
        key=step.key,
        name=step.name,
        config=step.config,
        inputs={k: [f"{r.stage}/{r.key}" for r in refs] for k, refs in step.inputs.items()},
        sources=step.files,
        files=tuple(
            StoredFile(p.relative_to(folder).as_posix(), p.stat().st_size, file_sha256(p))
            for p in paths
        ),
        metrics=metrics,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(took_s, 3),
    )


def parse_manifest(content: bytes, ref: Ref) -> Manifest:
    """The manifest of the artifact `ref`.

    Raises:
        ManifestError: It is not valid, or belongs to another artifact.
    """
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
    if why := _invalid(manifest, ref):
        raise ManifestError(f"the manifest of {ref} is refused: {why}")
    return manifest


def read_manifest(folder: Path, ref: Ref) -> Manifest:
    """The manifest in an artifact's folder.

    Raises:
        ManifestError: It is not valid.
        OSError: There is none.
    """
    try:
        content = read_regular(folder / MANIFEST, MOST_BYTES)
    except ValueError as error:
        raise ManifestError(str(error)) from None
    return parse_manifest(content, ref)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write a manifest; raises ManifestError, before that, for one that could not be read again."""
    text = json.dumps(asdict(manifest), indent=1) + "\n"
    parse_manifest(text.encode(), Ref(manifest.stage, manifest.key))
    write_text(folder / MANIFEST, text)


def whole(folder: Path, ref: Ref) -> Manifest | None:
    """The manifest of a folder that holds all files of it in their size, or None.

    Contents are not read: see `birdcore.store.inventory.damage`.
    """
    try:
        manifest = read_manifest(folder, ref)
        there = all(regular_bytes(folder, f.name) == f.bytes for f in manifest.files)
    except (OSError, ManifestError):
        return None
    return manifest if there else None


def _invalid(manifest: Manifest, ref: Ref) -> str:
    """Why a manifest of the right types is not valid for the artifact; empty where it is."""
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
        if why := _invalid_file(file):
            return f"a file {file.name[:80]!r} {why}"
        if file.name in seen:
            return f"a file {file.name[:80]!r} is there twice"
        seen.add(file.name)
    folders = {parent.as_posix() for name in seen for parent in Path(name).parents}
    if both := sorted(seen & folders):
        return f"{both[0][:80]!r} is both a file and a folder"
    return ""


def name_problem(name: str) -> str:
    """Why a name is not that of a file inside an artifact's folder; empty for one that is."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or DRIVE.match(name):
        return "leads out of its folder, or nowhere"
    if "\\" in name or not name.isprintable():
        return "has characters that no name of ours has"
    longest = max(len(part.encode()) for part in parts)
    if longest > LONGEST_PART or len(name.encode()) > LONGEST_NAME:
        return "has too long a name"
    return ""


def _invalid_file(file: StoredFile) -> str:
    """Why a file of a manifest is not valid; empty where it is."""
    if why := name_problem(file.name):
        return why
    if file.name == MANIFEST:
        return "would be the manifest itself"
    if not SHA256.fullmatch(file.sha256):
        return "has no sha256"
    return "" if 0 <= file.bytes <= LARGEST_FILE else "has a size that no file has"
