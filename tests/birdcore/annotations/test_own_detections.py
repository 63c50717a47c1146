"""What `birdflow detect` writes can be corrected by a person and read as labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from birdcore.annotations.annotation import Annotated
from birdcore.detection.events import Events
from birdcore.detection.table import FileRow, RecorderInfo, Species, detections_table
from birdcore.detection.writers import write_outputs

SPECIES = (Species("eurbla", "Turdus merula", "Eurasian Blackbird"),)
FOUND = {"a/=one.wav": [(0.0, 3.0), (4.25, 10.0)], "two words.flac": [(1.5, 2.5)]}


@pytest.mark.parametrize("rtype", ["table", "csv", "audacity"])
def test_detections_are_read_back(
    tmp_path: Path, read: Callable[..., Annotated], rtype: str
) -> None:
    results = []
    for name, spans in FOUND.items():
        start, end = np.array(spans).T
        events = Events(start, end, np.zeros(len(spans), np.int64), np.full(len(spans), 0.75, "f4"))
        row = FileRow(name, 10.0, 24_000, 1, RecorderInfo(), "0123", 0.5, len(spans))
        results.append((row, detections_table(row, events, SPECIES, [0.5])))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_outputs(tmp_path, lambda: iter(results), [rtype], Path("/recordings"), split_tables=False)
    found = read(tmp_path)
    spans = [(each.recording, (each.start_s, each.end_s)) for each in found.annotations]
    assert spans == [(name, span) for name, spans in FOUND.items() for span in spans]
    assert {each.label for each in found.annotations} <= {"Turdus merula", "Eurasian Blackbird"}
