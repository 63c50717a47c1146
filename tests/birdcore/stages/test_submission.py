"""The submission stage: the rows and columns that are asked for, and nothing else."""

import csv
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import correlate1d, gaussian_filter1d
from scipy.stats import pmean, rankdata

from birdcore.config import AfterPrediction, Predict
from birdcore.csv_table import TableError
from birdcore.metrics import read_submission
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.sources.tables import Tables, read_tables
from birdcore.stages import submission
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

Published = Callable[..., Ref]
LABELS = ("b", "a", "c")
SAMPLE = "sample_submission.csv"


class Folder:
    """A data folder's tables, and a submission made of predictions for it."""

    def __init__(self, root: Path, store: Store, publish: Published) -> None:
        self.root, self.store, self.publish = root, store, publish
        self.labels: Sequence[str] = LABELS
        self.tables: dict[str, str] = {}
        self.species: Mapping[str, Sequence[str]] = {}
        self.silent: Sequence[str] = ()
        """Soundscapes that are there, and of which nothing was heard."""

    def ask(self, rows: Sequence[str], labels: Sequence[str] = LABELS) -> None:
        """Write a sample_submission.csv."""
        self.labels = labels
        (self.root / "train.csv").write_text("primary_label,filename\na,a.ogg\n")
        lines = [",".join(["row_id", *labels]), *[f"{r}{',0.5' * len(labels)}" for r in rows]]
        (self.root / SAMPLE).write_text("\n".join(lines) + "\n")
        self.tables = {SAMPLE: str(hash(tuple(lines)))}

    def make(
        self,
        heard: dict[str, list[pd.DataFrame]],
        weights: Mapping[str, float | Sequence[float]],
        how: Mapping[str, str | float] | None = None,
        **settings: Any,
    ) -> Artifact:
        """heard: by round, the predictions of each shard; how: blend, and power."""
        species = pd.DataFrame({"label": list(self.labels), **self.species})
        catalog = self.publish("catalog", {"species.parquet": species})
        content = {**(how or {"blend": "mean"}), "weights": weights}
        weighed = self.publish("ensemble", {"weights.json": content})
        rounds = {
            name: tuple(self.publish("predict", {"predictions.parquet": t}) for t in tables)
            for name, tables in heard.items()
        }
        asked = read_tables(self.root).row_ids if self.tables else ()
        recordings = {
            name for of_round in heard.values() for t in of_round for name in t.get("recording", ())
        }
        there = sorted(recordings | {f"test_soundscapes/{name}" for name in self.silent})
        source = Source(
            "birdclef",
            self.root,
            (Subset("test_soundscapes", "test", tuple(SourceFile(n, 0, "") for n in there)),),
            self.tables,
            Tables(pd.DataFrame(), pd.DataFrame(), tuple(self.labels), tuple(asked)),
        )
        after = AfterPrediction.model_validate(settings.pop("after", {}))
        step = submission.step(Predict(**settings), source, catalog, weighed, rounds, after=after)
        return self.store.make(step, submission.run)


@pytest.fixture
def folder(tmp_path: Path, store: Store, publish: Published) -> Folder:
    return Folder(tmp_path, store, publish)


def predictions(
    recordings: dict[str, int], seed: int = 0, backbone: str = "x", classes: int = 3
) -> pd.DataFrame:
    """Random probabilities of so many segments of each recording."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "recording": name,
            "backbone": backbone,
            "end": 5 * (at + 1),
            "probabilities": rng.random(classes).astype(np.float32),
        }
        for name, segments in recordings.items()
        for at in range(segments)
    )


def values_of(table: pd.DataFrame, row_ids: Sequence[str]) -> np.ndarray:
    ids = [f"{Path(r).stem}_{e}" for r, e in zip(table["recording"], table["end"], strict=True)]
    of_row = dict(zip(ids, table["probabilities"], strict=True))
    return np.stack([of_row[row] for row in row_ids])


def written(artifact: Artifact, name: str = "submission.csv") -> pd.DataFrame:
    return pd.read_csv(artifact / name, index_col="row_id")


def unheard(artifact: Artifact) -> list[str]:
    return pd.read_parquet(artifact / "unheard.parquet")["row_id"].tolist()


def test_rows_and_columns_are_those_of_the_competitions_sample(
    folder: Folder, shared_data: Path
) -> None:
    folder.root = shared_data / "birdclef-mini"
    with (folder.root / SAMPLE).open(newline="") as file:
        header, *lines = csv.reader(file)
    folder.labels, folder.tables = header[1:], {SAMPLE: "the competition's"}
    rows = [line[0] for line in lines]
    stems = sorted({row.rpartition("_")[0] for row in rows})
    files = [f"test_soundscapes/{stem}.ogg" for stem in stems]
    shards = [
        predictions(dict.fromkeys(files[12:-1], 12), 0, classes=26),
        predictions(dict.fromkeys(files[:12], 12), 1, classes=26),
    ]
    artifact = folder.make({"one": shards}, {"one/x": 1.0})
    with (artifact / "submission.csv").open(newline="") as file:
        own_header, *own_lines = csv.reader(file)
    assert own_header == header
    assert [line[0] for line in own_lines] == rows
    lost = [row for row in rows if row.startswith(f"{stems[-1]}_")]
    assert unheard(artifact) == lost
    assert artifact.metrics == {"rows": 288, "classes": 26, "unheard": 12}
    table = written(artifact)
    heard = [row for row in rows if row not in lost]
    expected = values_of(pd.concat(shards), heard)
    np.testing.assert_allclose(table.loc[heard], expected, rtol=1e-6)
    np.testing.assert_allclose(
        table.loc[lost], np.broadcast_to(expected.mean(axis=0), (12, 26)), rtol=1e-6
    )


def test_rows_keep_the_samples_order_and_classes_theirs(folder: Folder) -> None:
    asked = ["s2_10", "s1_5", "lost_5", "s2_5", "s1_15"]
    folder.ask(asked, ("c", "a", "b"))
    heard = predictions({"test_soundscapes/s1.ogg": 3, "test_soundscapes/s2.ogg": 2})
    artifact = folder.make({"one": [heard]}, {"one/x": 1.0})
    table = written(artifact)
    assert table.index.tolist() == asked
    assert table.columns.tolist() == ["c", "a", "b"]
    assert unheard(artifact) == ["lost_5"]
    rows = [row for row in asked if row != "lost_5"]
    np.testing.assert_allclose(table.loc[rows], values_of(heard, rows), rtol=1e-6)
    middle = np.stack(heard["probabilities"]).mean(axis=0)
    np.testing.assert_allclose(table.loc["lost_5"], middle, rtol=1e-6)


def test_rows_beyond_a_soundscapes_end_are_filled(folder: Folder) -> None:
    folder.ask(["s_5", "s_10", "s_15"])
    artifact = folder.make({"one": [predictions({"s.ogg": 2})]}, {"one/x": 1.0})
    assert unheard(artifact) == ["s_15"]
    assert written(artifact).notna().all(axis=None)


def test_without_a_sample_every_segment_of_every_soundscape_is_a_row(folder: Folder) -> None:
    shards = [predictions({"b_1.ogg": 2, "a.ogg": 3}), predictions({"c.flac": 1}, 1)]
    artifact = folder.make({"one": shards}, {"one/x": 1.0})
    table = written(artifact)
    assert table.index.tolist() == ["a_5", "a_10", "a_15", "b_1_5", "b_1_10", "c_5"]
    np.testing.assert_allclose(table, values_of(pd.concat(shards), table.index), rtol=1e-6)
    assert unheard(artifact) == []


@pytest.mark.parametrize("rows", [["s_5", "s_10"], []])
def test_without_a_prediction_all_rows_that_are_asked_for_are_there(
    folder: Folder, rows: list[str]
) -> None:
    if rows:
        folder.ask(rows)
        folder.silent = ["s.ogg"]
    for shards in ([], [predictions({})]):
        artifact = folder.make({"one": shards}, {"one/x": 1.0})
        for name in ("submission.csv", "rounds/one.csv"):
            table = written(artifact, name)
            assert table.index.tolist() == rows
            assert table.columns.tolist() == list(LABELS)
            assert (table == 0.5).all(axis=None)
        assert unheard(artifact) == rows


def test_an_empty_shard_beside_others_changes_nothing(folder: Folder) -> None:
    heard = predictions({"a.ogg": 3})
    alone = folder.make({"one": [heard]}, {"one/x": 1.0})
    beside = folder.make({"one": [heard.iloc[:0], heard]}, {"one/x": 1.0})
    assert alone.ref != beside.ref
    pd.testing.assert_frame_equal(written(alone), written(beside))


def test_members_are_weighed_and_each_round_has_a_table_of_its_own(folder: Folder) -> None:
    recordings = {"a.ogg": 3, "b.ogg": 4}
    first, second, third = (
        predictions(recordings, seed, backbone) for seed, backbone in enumerate("xyx")
    )
    artifact = folder.make(
        {"one": [pd.concat([first, second])], "two": [third]},
        {"one/x": 0.5, "one/y": 0.2, "two/x": 0.3},
    )
    table = written(artifact)
    one, two, three = (values_of(t, table.index) for t in (first, second, third))
    np.testing.assert_allclose(table, 0.5 * one + 0.2 * two + 0.3 * three, rtol=1e-6)
    np.testing.assert_allclose(written(artifact, "rounds/one.csv"), (one + two) / 2, rtol=1e-6)
    np.testing.assert_allclose(written(artifact, "rounds/two.csv"), three, rtol=1e-6)
    read = read_submission(artifact / "submission.csv")
    assert read.labels == LABELS


def test_a_round_that_is_no_member_is_not_in_the_ensemble(folder: Folder) -> None:
    first, second = predictions({"a.ogg": 3}), predictions({"a.ogg": 3}, 1)
    artifact = folder.make({"one": [first], "two": [second]}, {"two/x": 1.0})
    table = written(artifact)
    np.testing.assert_allclose(table, values_of(second, table.index), rtol=1e-6)
    np.testing.assert_allclose(
        written(artifact, "rounds/one.csv"), values_of(first, table.index), rtol=1e-6
    )


def test_ranks_are_blended_where_the_recipe_says_so(folder: Folder) -> None:
    first, second = predictions({"a.ogg": 4, "b.ogg": 3}), predictions({"b.ogg": 3, "a.ogg": 4}, 1)
    second["probabilities"] = [p / 1000 for p in second["probabilities"]]
    artifact = folder.make(
        {"one": [first], "two": [second]}, {"one/x": 0.5, "two/x": 0.5}, {"blend": "rank"}
    )
    table = written(artifact)
    ranks = [(rankdata(values_of(t, table.index), axis=0) - 1) / 6 for t in (first, second)]
    np.testing.assert_allclose(table, np.mean(ranks, axis=0), atol=1e-7)


def test_powers_are_blended_where_the_recipe_says_so(folder: Folder) -> None:
    recordings = {"a.ogg": 4, "b.ogg": 3}
    tables = [predictions(recordings, seed, backbone) for seed, backbone in enumerate("xyx")]
    weights, cubes = {"one/x": 0.5, "one/y": 0.2, "two/x": 0.3}, {"blend": "power", "power": 3.0}
    artifact = folder.make({"one": [pd.concat(tables[:2])], "two": [tables[2]]}, weights, cubes)
    table = written(artifact)
    values = np.array([values_of(t, table.index) for t in tables], np.float64)
    shares = np.array([0.5, 0.2, 0.3])[:, None, None]
    np.testing.assert_allclose(table, pmean(values, 3, axis=0, weights=shares), rtol=1e-6)
    np.testing.assert_allclose(
        written(artifact, "rounds/one.csv"), pmean(values[:2], 3, axis=0), rtol=1e-6
    )


def test_each_class_may_have_weights_of_its_own(folder: Folder) -> None:
    recordings = {"a.ogg": 3, "b.ogg": 4}
    first, second = (predictions(recordings, seed) for seed in (0, 1))
    weights = {"one/x": [1.0, 0.25, 0.0], "two/x": [0.0, 0.75, 1.0]}
    artifact = folder.make({"one": [first], "two": [second]}, weights)
    table = written(artifact)
    one, two = (values_of(t, table.index) for t in (first, second))
    expected = np.stack([one[:, 0], 0.25 * one[:, 1] + 0.75 * two[:, 1], two[:, 2]], axis=1)
    np.testing.assert_allclose(table, expected, rtol=1e-6)
    np.testing.assert_allclose(written(artifact, "rounds/one.csv"), one, rtol=1e-6)


@pytest.mark.parametrize("by_class", [False, True])
def test_a_member_that_heard_nothing_leaves_its_weight_to_the_others(
    folder: Folder, by_class: bool
) -> None:
    recordings = {"a.ogg": 3}
    first, second = (predictions(recordings, seed) for seed in (0, 1))
    heard = {"one": [first], "two": [second], "silent": [first.iloc[:0]]}
    parts = ([0.6, 0.0, 0.1], [0.2, 0.0, 0.3], [0.2, 1.0, 0.6])
    shares = parts if by_class else [part[1] for part in parts]
    weights = dict(zip(("one/x", "two/x", "silent/x"), shares, strict=True))
    table = written(folder.make(heard, weights))
    one, two = (values_of(t, table.index) for t in (first, second))
    of_one = np.array([0.75, 0.5, 0.25] if by_class else [0.5] * 3)
    np.testing.assert_allclose(table, of_one * one + (1 - of_one) * two, rtol=1e-6)


def test_smoothing_stays_within_a_recording(folder: Folder) -> None:
    heard = predictions({"a.ogg": 6, "b.ogg": 5})
    shuffled = heard.sample(frac=1, random_state=0)
    own = {name: np.stack(rows["probabilities"]) for name, rows in heard.groupby("recording")}

    def expect(smooth: Callable[[np.ndarray], np.ndarray], **settings: float) -> None:
        artifact = folder.make({"one": [shuffled]}, {"one/x": 1.0}, **settings)
        expected = np.concatenate([smooth(own[name].astype(float)) for name in own])
        np.testing.assert_allclose(written(artifact), expected, rtol=1e-5)

    def weighted(*weights: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda rows: correlate1d(rows, weights, axis=0, mode="nearest")

    expect(lambda rows: rows)
    expect(lambda rows: gaussian_filter1d(rows, 0.7, axis=0, mode="nearest"), gaussian=0.7)
    expect(weighted(0.1, 0.2, 0.4, 0.2, 0.1), neighbours=True)
    expect(weighted(0.25, 0, 0.5, 0, 0.25), delta_shift=0.5)
    expect(lambda rows: 0.8 * rows + 0.2 * rows.max(axis=0), file_maximum=0.2)
    expect(
        lambda rows: weighted(0.1, 0.2, 0.4, 0.2, 0.1)(
            weighted(0.15, 0, 0.7, 0, 0.15)(gaussian_filter1d(rows, 1.0, axis=0, mode="nearest"))
        ),
        gaussian=1.0,
        delta_shift=0.3,
        neighbours=True,
    )


def test_a_taxon_without_a_class_is_refused(folder: Folder) -> None:
    folder.species = {
        "class_name": ["Aves", "Insecta", "Aves"],
        "scientific_name": ["Avis una", "Insecta", "Avis altera"],
        "inat_taxon_id": ["", "", ""],
    }
    heard = {"one": [predictions({"a.ogg": 4})]}
    with pytest.raises(ValueError, match=r"^after_prediction\.smooth names Amphibia, .* Insecta$"):
        folder.make(heard, {"one/x": 1.0}, after={"smooth": {"frogs": [1]}})


def test_after_prediction_acts_on_the_blend_of_each_recording(folder: Folder) -> None:
    folder.species = {
        "class_name": ["Aves", "Insecta", "Aves"],
        "scientific_name": ["Avis una", "Insecta", "Avis altera"],
        "inat_taxon_id": ["", "", ""],
    }
    tables = [predictions({"a.ogg": 4, "b.ogg": 3}, seed) for seed in (0, 1)]
    heard, weights = {"one": [tables[0]], "two": [tables[1]]}, {"one/x": 0.5, "two/x": 0.5}
    plain = folder.make(heard, weights)
    artifact = folder.make(
        heard, weights, after={"smooth": {"insects": [1, 1, 1]}, "times_file_maximum": 1}
    )
    assert artifact.ref != plain.ref
    assert folder.make(heard, weights, after={"smooth": {}}).ref == plain.ref
    for name in ("submission.csv", "rounds/one.csv"):
        expected = written(plain, name)
        for rows in (slice(0, 4), slice(4, 7)):
            part = expected.iloc[rows].to_numpy().copy()
            part[:, 1] = correlate1d(part[:, 1], np.ones(3) / 3, mode="nearest")
            expected.iloc[rows] = part * part.max(axis=0)
        np.testing.assert_allclose(written(artifact, name), expected, rtol=1e-6)


@pytest.mark.parametrize("silent", [[], ["one.ogg", "deep/two.flac"]])
def test_a_placeholder_of_no_soundscape_that_is_there_decides_columns_alone(
    folder: Folder, silent: list[str]
) -> None:
    folder.ask(["elsewhere_5", "elsewhere_10"], ("c", "a", "b"))
    folder.silent = silent
    heard = predictions({"test_soundscapes/here.ogg": 3} if silent else {})
    table = written(folder.make({"one": [heard]}, {"one/x": 1.0}))
    assert table.index.tolist() == (["here_5", "here_10", "here_15"] if silent else [])
    assert table.columns.tolist() == ["c", "a", "b"]


def test_a_sample_of_some_soundscapes_decides_rows(folder: Folder) -> None:
    folder.ask(["b_10", "gone_5"])
    heard = predictions({"test_soundscapes/a.ogg": 2, "test_soundscapes/b.ogg": 2})
    artifact = folder.make({"one": [heard]}, {"one/x": 1.0})
    assert written(artifact).index.tolist() == ["b_10", "gone_5"]
    assert unheard(artifact) == ["gone_5"]


def test_rows_are_the_samples_in_its_form_and_found_in_the_other(folder: Folder) -> None:
    rows = [unicodedata.normalize("NFD", "Cañón_5"), "zaunkönig_5"]
    folder.ask(rows)
    heard = predictions({"test_soundscapes/Cañón.ogg": 1, "test_soundscapes/zaunkönig.ogg": 1})
    artifact = folder.make({"one": [heard]}, {"one/x": 1.0})
    assert written(artifact).index.tolist() == rows
    assert unheard(artifact) == []
    np.testing.assert_allclose(written(artifact), np.stack(heard["probabilities"]), rtol=1e-6)


def test_files_that_share_a_stem_are_named_by_their_folders(folder: Folder) -> None:
    heard = predictions({"test_soundscapes/x/a.ogg": 2, "test_soundscapes/y/a.ogg": 3})
    table = written(folder.make({"one": [heard]}, {"one/x": 1.0}))
    assert table.index.tolist() == ["x/a_5", "x/a_10", "y/a_5", "y/a_10", "y/a_15"]
    np.testing.assert_allclose(table, np.stack(heard["probabilities"]), rtol=1e-6)


def test_a_sample_that_names_the_stem_of_two_is_refused(folder: Folder) -> None:
    folder.ask(["a_5"])
    heard = predictions({"test_soundscapes/a.ogg": 2, "test_soundscapes/old/a.wav": 3})
    with pytest.raises(
        TableError, match=r"test_soundscapes/a\.ogg and test_soundscapes/old/a\.wav"
    ):
        folder.make({"one": [heard]}, {"one/x": 1.0})


def test_formats_of_the_recipe_hold_what_was_predicted(folder: Folder) -> None:
    folder.ask(["a_5", "a_10", "absent_5"])
    heard = {"one": [predictions({"test_soundscapes/a.ogg": 2})]}
    artifact = folder.make(heard, {"one/x": 1.0}, formats=("csv", "parquet"))
    table = pd.read_parquet(artifact / "predictions.parquet")
    assert list(table["recording"]) == ["a", "a"]
    assert list(table["start"]) == [0, 5]
    assert list(table.columns[3:]) == list(LABELS)
    rows = written(artifact).loc[["a_5", "a_10"]]
    np.testing.assert_allclose(table[list(LABELS)], rows, rtol=1e-6)
    assert len(pd.read_csv(artifact / "predictions.csv")) == 6
    assert not (folder.make(heard, {"one/x": 1.0}) / "predictions.csv").exists()
