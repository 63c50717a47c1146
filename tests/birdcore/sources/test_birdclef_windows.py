"""Labelled soundscapes of 2026 in a data folder: their use, and what is known of them."""

from pathlib import Path

import pytest

from birdcore.sources.birdclef import catalog, scan
from birdcore.sources.birdclef_windows import LABELLED_SOUNDSCAPES
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.source import Source
from birdcore.store.store import Store


@pytest.fixture(scope="module")
def source(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return scan(shared_data / "birdclef-2026-mini", Store(tmp_path_factory.mktemp("s") / "store"))


@pytest.fixture(scope="module")
def made(source: Source) -> Catalog:
    audio = {
        file.path: file.sha256
        for use in ("labelled", "annotated")
        for file in source.subset(use).files  # type: ignore[arg-type]
    }
    return catalog(CatalogInput(source.root, audio, labels=source.labels))


def test_each_soundscape_has_one_use(source: Source) -> None:
    labelled, unlabelled = source.subset("annotated"), source.subset("unlabelled")
    assert labelled.name == LABELLED_SOUNDSCAPES
    assert (len(labelled.files), len(unlabelled.files), len(source.subset("test").files)) == (
        12,
        16,
        16,
    )
    assert not {f.path for f in labelled.files} & {f.path for f in unlabelled.files}
    assert "train_soundscapes_labels.csv" in source.tables


def test_windows_are_annotations(made: Catalog) -> None:
    assert made.annotated is not None
    events, complete = made.annotated.annotations, made.annotated.complete
    assert len(complete) == 63  # every row stands there twice
    assert (complete["end_s"] - complete["start_s"] == 5).all()
    assert set(events["kind"]) == {"present"}
    assert set(events["label"]) <= set(made.species["label"])
    first = events.iloc[0]
    assert (first["start_s"], first["end_s"], first["label"]) == (0.0, 5.0, "yelwar")
    assert first["source"] == "train_soundscapes_labels.csv:2"
    assert sorted(made.annotated.groups["group"])[0].startswith("S")


def test_soundscapes_are_no_clips(made: Catalog) -> None:
    rows = made.recordings.set_index("recording")
    heard = rows[rows.index.str.startswith("train_soundscapes/")]
    assert len(heard) == 12
    assert not heard["usable"].any()
    assert rows["usable"].sum() == 75
    assert made.metrics["annotated"] == 12
