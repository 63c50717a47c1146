"""What a run's models say of recordings that nobody has labelled, from what its store holds.

A run has predicted them already: as labels for a student, as outputs of the teacher that its probes
read, or as rows of its submission. So nothing is heard again. Soundscapes of a test whose truth is
there are left out: who trains on verdicts of them can't be tested on them.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from birdcore.detection.from_probabilities import detections_of
from birdcore.detection.species_list import read_classes
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.store.run_records import Run
from birdcore.store.store import Store
from birdcore.unicode_names import find_by_name
from flows.run_artifacts import run_of
from flows.run_cells import labelled_cells, probed_cells, submitted_cells

LEAST = 0.1
"""Less probable cells are not listened to: most of a table has nothing in it."""
MODEL = "model"


@dataclass(frozen=True)
class Predicted:
    """What a run says.

    Attributes:
        detections: As `birdcore.detection.read.read_detections` gives them.
        root: Where the recordings are.
        source: Which of its predictions they are, for people.
    """

    detections: pd.DataFrame
    root: Path
    source: str


def predicted(store: Store, out: Path, least: float = 0.0) -> Predicted:
    """What a run's models say of recordings without labels.

    Args:
        store: The run's.
        out: Its results folder.
        least: The least probability, if more than `LEAST`.

    Raises:
        ValueError: The store has no run of this folder, or none of its predictions.
    """
    run = run_of(store, out)
    least = max(least, LEAST)
    found = next(filter(None, (read(store, run, least) for read in READ)), None)
    if found is None:
        raise ValueError(_how_to_detect(run, out))
    table = detections_of(found.cells, read_classes(out / MODEL, found.classes))
    if not len(table):
        raise ValueError(f"{out}: no class is as probable as {least:g} in any {found.source}")
    root = Path(run.request.data)
    places = {name: find_by_name(root, name) for name in table["file"].cat.categories}
    paths = {name: path.relative_to(root).as_posix() for name, path in places.items()}
    table["file"] = table["file"].cat.rename_categories(paths)
    return Predicted(table, root, found.source)


def _how_to_detect(run: Run, out: Path) -> str:
    data = Path(run.request.data)
    folders = (data / layout.soundscapes for layout in LAYOUTS)
    heard = next((folder for folder in folders if folder.is_dir()), data)
    if not (out / MODEL).is_dir():
        return f"{out}: the run has left no models here: run it to its end first"
    return (
        f"{out}: the run has not predicted what nobody has labelled: birdflow detect {heard} "
        f"--model {out} --out {out}-detections --rtype parquet, and review {out}-detections"
    )


READ = (labelled_cells, probed_cells, submitted_cells)
"""Where a run's predictions are, the most telling first."""
