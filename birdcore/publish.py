"""Publishing: a folder of finished files becomes an artifact in one rename."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdcore.artifact import MANIFEST, Manifest, Step, StoredFile
from birdcore.files import file_sha256, sync, write_text


def manifest_of(step: Step, folder: Path, facts: Mapping[str, Any], took_s: float) -> Manifest:
    """What the files of a folder are, once `step` has written them."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
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
        facts=facts,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(took_s, 3),
    )


def write_manifest(manifest: Manifest, folder: Path) -> None:
    write_text(folder / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")


def settle(folder: Path, final: Path) -> None:
    """Give the folder its final name, when all that is in it is safe on the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(final)
    sync(final.parent)
