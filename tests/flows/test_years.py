"""Whole runs on folders of 2021 and 2022: from their tables to submissions in their own forms."""

from pathlib import Path

import pandas as pd
import pytest

from birdcore.config import read_recipe
from birdcore.metrics import match_files
from birdcore.sources.birdclef import scan
from birdcore.stages.table import make
from birdcore.store.artifact import Artifact
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from flows.dag import build_dag

SETTINGS = ("folds.train=[0]", "round.0.epochs=1")


def as_2021(root: Path) -> None:
    """Clips below their own folder's name, rows by number and site, birds in lists."""
    (root / "train_audio").rename(root / "train_short_audio")
    names = {}
    for at, path in enumerate(sorted((root / "test_soundscapes").iterdir())):
        names[path.stem] = f"{7000 + at}_COR"
        path.rename(path.with_name(f"{7000 + at}_COR_20190904.ogg"))
    table = pd.read_csv(root / "test_soundscapes_labels.csv").set_index("row_id")
    rows = [row.rpartition("_") for row in table.index]
    row_ids = [f"{names[stem]}_{end}" for stem, _, end in rows]
    birds = [" ".join(table.columns[row == 1]) or "nocall" for row in table.to_numpy()]
    truth = pd.DataFrame({"row_id": row_ids, "birds": birds})
    truth.to_csv(root / "test_soundscapes_labels.csv", index=False)
    truth.assign(birds="nocall").to_csv(root / "sample_submission.csv", index=False)


def as_2022(root: Path) -> None:
    """A row for each segment and class; no sample, but a table of the test."""
    table = pd.read_csv(root / "test_soundscapes_labels.csv").set_index("row_id")
    cells = table.stack()
    parts = [row.rpartition("_") for row, _ in cells.index]
    labels = [label for _, label in cells.index]
    row_ids = [f"{p[0]}_{label}_{p[2]}" for p, label in zip(parts, labels, strict=True)]
    truth = pd.DataFrame({"row_id": row_ids, "target": cells.to_numpy() == 1})
    truth.to_csv(root / "test_soundscapes_labels.csv", index=False)
    (root / "sample_submission.csv").unlink()
    asked = {
        "row_id": row_ids,
        "file_id": [stem for stem, *_ in parts],
        "bird": labels,
        "end_time": [end for *_, end in parts],
    }
    pd.DataFrame(asked).to_csv(root / "test.csv", index=False)


def run(root: Path, recipe: Path, store: Store) -> dict[str, Artifact]:
    (root / "train.csv").rename(root / "train_metadata.csv")
    path = root.parent / "one.toml"
    path.write_text("[[round]]".join(recipe.read_text().split("[[round]]")[:2]))
    dag = build_dag(read_recipe(path, SETTINGS), scan(root, store), store, keep_shards=True)
    return {step.name: make(step, store, no_progress, refresh=False) for step in dag.steps}


@pytest.mark.parametrize("year", ["2021", "2022"])
def test_a_folder_of_the_year_gives_its_submission_and_score(
    data: Path, tiny_recipe: Path, tmp_path: Path, year: str
) -> None:
    {"2021": as_2021, "2022": as_2022}[year](data)
    made = run(data, tiny_recipe, Store(tmp_path / "store"))
    truth = data / "test_soundscapes_labels.csv"
    submitted = made["submission"]
    given, asked = pd.read_csv(submitted / "submission.csv"), pd.read_csv(truth)
    assert list(given.columns) == list(asked.columns)
    assert list(given["row_id"]) == list(asked["row_id"])
    both = match_files(submitted / "submission.csv", truth)
    assert set(both.scores.ravel()) <= {0.0, 1.0}
    assert not both.rows_missing
    assert not both.classes_missing
    # What is scored are the probabilities, which rank.
    ranked = match_files(submitted / "probabilities.csv", truth)
    assert len(set(ranked.scores.ravel())) > 2
    assert made["score"].metrics["classes_scored"]
