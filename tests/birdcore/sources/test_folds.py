import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import read_recordings
from birdcore.sources.folds import EVERYWHERE, assign_folds
from birdcore.stages import catalog, folds
from birdcore.store.store import Store


def table(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """Recordings of (label, author)."""
    names = [f"train_audio/{i}.ogg" for i in range(len(rows))]
    labels, authors = zip(*rows, strict=True)
    columns = {"recording": names, "primary_label": labels, "author": authors}
    return pd.DataFrame(columns, index=names)


RECORDINGS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "Ada", "ada ", "Bo", "Cleo", "Dag"])),
    min_size=2,
    max_size=40,
).map(table)


@settings(deadline=None)
@given(RECORDINGS, st.integers(2, 5), st.integers(0, 3))
def test_authors_are_in_one_fold_and_species_are_learnt_where_they_are_validated(
    recordings: pd.DataFrame, count: int, seed: int
) -> None:
    folds = assign_folds(recordings, count, seed)
    assigned = folds.of
    assert assigned.index.equals(recordings.index)
    assert set(assigned) <= {EVERYWHERE, *range(count)}
    author = recordings["author"].str.strip().str.lower()
    held_out = assigned != EVERYWHERE
    known = held_out & (author != "")
    if not folds.note:
        assert set(assigned) - {EVERYWHERE} == set(range(count))
        assert (assigned[known].groupby(author[known]).nunique() == 1).all()
    for _, of_species in assigned.groupby(recordings["primary_label"]):
        # Validated in one fold, a species is learnt from another; or it trains everywhere.
        assert set(of_species) == {EVERYWHERE} or of_species.nunique() > 1
        assert set(of_species) == {EVERYWHERE} or EVERYWHERE not in set(of_species)
    again = assign_folds(recordings, count, seed)
    assert again.of.equals(assigned)
    assert again.note == folds.note


def test_singletons_and_species_of_one_author_train_everywhere() -> None:
    common = [("common", "") for _ in range(12)]
    recordings = table(
        [*common, ("rare", ""), ("local", "Ada"), ("local", "ADA "), ("local", "ada")]
    )
    assigned = assign_folds(recordings, 3, 0).of
    labels = recordings["primary_label"]
    assert (assigned[labels != "common"] == EVERYWHERE).all()
    assert (assigned[labels == "common"] != EVERYWHERE).all()


def test_recordings_of_unknown_authors_are_spread_evenly() -> None:
    recordings = table([("a", "")] * 20 + [("b", "")] * 40)
    assigned = assign_folds(recordings, 4, 0).of
    counts = pd.crosstab(recordings["primary_label"], assigned)
    assert (counts.loc["a"] == 5).all()
    assert (counts.loc["b"] == 10).all()


def test_species_with_fewer_recordings_than_folds_are_split_too() -> None:
    recordings = table([(label, "") for label in "abcdef" for _ in range(2)])
    assigned = assign_folds(recordings, 4, 0).of
    assert set(assigned) - {EVERYWHERE} == {0, 1, 2, 3}


def test_another_seed_draws_other_folds() -> None:
    recordings = table([("a", "")] * 20)
    assert not assign_folds(recordings, 4, 0).of.equals(assign_folds(recordings, 4, 1).of)


@pytest.mark.parametrize("authors", [["Jane Doe"], ["Ada", "Bo"]])
def test_too_few_authors_are_spread_by_recording_with_a_note(authors: list[str]) -> None:
    rows = [(label, authors[at % len(authors)]) for label in "abc" for at in range(6)]
    folds = assign_folds(table(rows), 3, 0)
    assert set(folds.of) == {0, 1, 2}
    assert f"the authors ({len(authors)}) do not fill 3 folds" in folds.note


def test_as_many_authors_as_folds_are_enough() -> None:
    folds = assign_folds(table([(label, author) for label in "ab" for author in "xyxy"]), 2, 0)
    assert not folds.note
    assert set(folds.of) == {0, 1}


def test_one_recording_a_species_trains_everywhere() -> None:
    folds = assign_folds(table([(label, "") for label in "abcd"]), 2, 0)
    assert set(folds.of) == {EVERYWHERE}
    assert "nothing is validated" in folds.note


def test_fewer_recordings_than_folds_leave_folds_empty() -> None:
    folds = assign_folds(table([("a", ""), ("a", ""), ("b", "x")]), 5, 0)
    assert folds.of.tolist() == [0, 1, EVERYWHERE] or folds.of.tolist() == [1, 0, EVERYWHERE]
    assert folds.note == "too few recordings a species: 3 of 5 folds are empty"


def test_real_recordings_are_stratified(shared_data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    cataloged = store.make(catalog.step(scan(shared_data / "birdclef-mini", store)), catalog.run)
    made = store.make(folds.step(cataloged.ref, 4, 0), folds.run)
    assert made.metrics["recordings"] == 148
    assert made.metrics["train_everywhere"] == 0
    assert made.metrics["species_scored"] == 26
    assert np.ptp(made.metrics["fold_sizes"]) <= 2
    assigned = pd.read_parquet(made / "folds.parquet").set_index("recording")["fold"]
    labels = read_recordings(cataloged)["primary_label"]
    counts = pd.crosstab(labels.loc[assigned.index], assigned)
    # 4 to 11 recordings a species, no author known: each fold gets its share of each.
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()


def test_only_usable_recordings_get_a_fold(tiny_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    (data / "train_audio" / "unlabelled.ogg").write_bytes(b"no row")
    store = Store(tmp_path / "store")
    cataloged = store.make(catalog.step(scan(data, store)), catalog.run)
    made = store.make(folds.step(cataloged.ref, 2, 0), folds.run)
    assert cataloged.metrics["recordings"] == 10
    assert len(pd.read_parquet(made / "folds.parquet")) == 9
