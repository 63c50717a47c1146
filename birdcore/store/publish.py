"""Publishing: a folder of finished files becomes an artifact in one rename."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdcore.store.artifact import MANIFEST, Manifest, Step, StoredFile
from birdcore.store.files import file_sha256, sync
from birdcore.store.regular import regular_files


def build_manifest(step: Step, folder: Path, metrics: Mapping[str, Any], took_s: float) -> Manifest:
    """What the files of a folder are, once `step` has written them.

    Raises Irregular for a link or a device among them.
    """
    paths = sorted(p for p in regular_files(folder) if p != folder / MANIFEST)
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


def publish(folder: Path, final: Path) -> None:
    """Give the folder its final name, when all that is in it is safe on the disk.

    Raises Irregular for a link or a device in it.
    """
    files = list(regular_files(folder))
    inside = {folder / parent for file in files for parent in file.relative_to(folder).parents}
    for path in [*files, *inside, folder]:
        sync(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(final)
    sync(final.parent)
