"""Runs at once on one store: nothing is made twice, and nothing is harmed by who else is there."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import MANIFEST
from birdcore.store.inventory import damage, entries, works
from birdcore.store.store import Store

OTHER = "score.bootstrap=51"


@pytest.fixture
def published(listener: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each artifact that a run published."""
    monkeypatch.setenv("PYTHONPATH", str(listener))
    monkeypatch.setenv("PUBLISHED", str(tmp_path / "published"))
    return tmp_path / "published"


def test_two_runs_at_once_make_nothing_twice(
    start_birdflow: Any,
    whole_run: Any,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    published: Path,
) -> None:
    """Of two recipes that share all but their scores."""
    store = Store(tmp_path / "store")
    places = ("--data", tiny_data, "--store", store.root, "--out")
    runs = [
        start_birdflow("run", tiny_recipe, *places, tmp_path / "one"),
        start_birdflow("run", tiny_recipe, *places, tmp_path / "other", "--set", OTHER),
    ]
    for run in runs:
        said = run.communicate()[0]
        assert run.returncode == 0, said
    expected = (whole_run.out / "submission.csv").read_bytes()
    submitted = [(tmp_path / out / "submission.csv").read_bytes() for out in ("one", "other")]
    assert submitted == [expected] * 2

    there = [str(path.parent) for path in store.root.glob(f"*/*/{MANIFEST}")]
    assert Counter(published.read_text().split()) == Counter(there)
    assert len(there) == 23 + 2  # each has a score and a report of its own
    assert [damage(store, entry.ref) for entry in entries(store)] == [[]] * len(there)
    assert works(store) == []
