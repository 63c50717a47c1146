"""Output folders of detections, as a detection leaves them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pytest

from birdcore.detection.events import Events
from birdcore.detection.recorders import from_name
from birdcore.detection.table import SCHEMA, FileRow, Species, detections_table
from birdcore.detection.writers import write_outputs

BIRDS = (
    Species("eurbla", "Turdus merula", "Eurasian Blackbird"),
    Species("comchi1", "Phylloscopus collybita", "Common Chiffchaff"),
    Species("<b>x</b>", "<b>x</b>", "<script>alert('!')</script>"),
)
Event: TypeAlias = tuple[float, float, int, float]
"""Start and end in seconds, index of the species, confidence."""
Detected: TypeAlias = Callable[..., Path]


@pytest.fixture
def detected(tmp_path: Path) -> Detected:
    """Makes the output folder of a detection over recordings of one length."""

    def make(
        events: Mapping[str, Sequence[Event]],
        *,
        root: Path | None = None,
        seconds: float = 10.0,
        rate: int = 22_000,
        failed: Mapping[str, str] | None = None,
        species: Sequence[Species] = BIRDS,
        rtypes: Sequence[str] = ("parquet",),
        folder: str = "out",
    ) -> Path:
        out = tmp_path / folder
        (out / ".detect").mkdir(parents=True)
        results: list[tuple[FileRow, pa.Table]] = []
        for name, of_file in events.items():
            start, end, label, confidence = np.array(of_file, float).reshape(-1, 4).T
            found = Events(start, end, label.astype(np.int64), confidence.astype(np.float32))
            about = from_name(name)
            row = FileRow(name, seconds, rate, 1, about, "0123456789ab", 0.25, len(found))
            results.append((row, detections_table(row, found, species, 0.25)))
        for name, reason in (failed or {}).items():
            row = FileRow(name, 0.0, 0, 0, from_name(name), "0123456789ab", 0.25, reason=reason)
            results.append((row, SCHEMA.empty_table()))
        where = tmp_path / "recordings" if root is None else root
        write_outputs(out, lambda: iter(results), rtypes, where)
        (out / ".detect" / "settings.json").write_text(json.dumps({"root": str(where)}))
        return out

    return make
