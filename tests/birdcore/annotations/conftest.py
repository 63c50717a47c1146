from collections.abc import Callable
from pathlib import Path

import pytest

from birdcore.annotations.annotation import Annotated
from birdcore.annotations.readers import read_annotations
from birdcore.audio.container import AUDIO_SUFFIXES
from birdcore.config import Annotations
from birdcore.unicode_names import nfc

Read = Callable[..., Annotated]


@pytest.fixture
def read() -> Read:
    """Annotations of the recordings that lie below a folder."""

    def read(
        root: Path, durations: dict[str, float] | None = None, **settings: object
    ) -> Annotated:
        recordings = [
            nfc(path.relative_to(root).as_posix())
            for path in sorted(root.rglob("*"))
            if path.suffix.casefold() in AUDIO_SUFFIXES
        ]
        return read_annotations(root, recordings, Annotations(**settings), durations)  # type: ignore[arg-type]

    return read


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder with files of these names and contents."""

    def write(files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, newline="")
        return tmp_path

    return write
