"""The catalogue of a collection, which folds and training read as they read the competition's."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from birdcore.archives.record import Record, parse_record
from birdcore.archives.record_table import write_records
from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import read_labels, read_recordings
from birdcore.sources.duplicates import Leak
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.stages import catalog, collection, folds
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.files import file_sha256
from birdcore.store.store import Store

Published = Callable[..., Ref]
Made = Callable[..., Artifact]
UNA = Record(1, "Avis una", common_name="One", recordist="Ann", quality="B", types=("song", "call"))
DUO = Record(2, "Avis duo", recordist="Bea", also=("Avis una", "Avis tres", "Avis duo"))
TRES = Record(3, "Avis tres", recordist="Cai")


def put(root: Path, records: Sequence[Record], sounds: Sequence[str] = ()) -> Source:
    """A collection of records; recording i has the content sounds[i], or its own."""
    table = root / "chosen.parquet"
    (root / "recordings").mkdir(exist_ok=True)
    write_records(table, records)
    audio = [
        SourceFile(f"recordings/XC{record.id}.mp3", 5, sounds[i] if sounds else f"{record.id}")
        for i, record in enumerate(records)
    ]
    subset = Subset("xeno_canto", "labelled", tuple(audio))
    return Source("xeno-canto", root, (subset,), {table.name: file_sha256(table)})


@pytest.fixture
def made(store: Store, publish: Published) -> Made:
    def make(collected: Source, *leaking: dict[int, str]) -> Artifact:
        """`leaking`: what each shard of the collection found, a reason by id."""
        tables = [
            pd.DataFrame(
                [(f"recordings/XC{n}.mp3", "train_audio/a.ogg", why, "") for n, why in one.items()],
                columns=Leak._fields,
                dtype="str",
            )
            for one in leaking or ({},)
        ]
        leaks = tuple(publish("leaks", {"leaks.parquet": table}) for table in tables)
        return store.make(collection.step(collected, leaks), collection.run)

    return make


def test_each_recording_is_a_row_of_what_the_archive_says(tmp_path: Path, made: Made) -> None:
    una = replace(UNA, licence="cc-by-nc 4.0", url="https://x.org/1", latitude=1.5, longitude=2.5)
    artifact = made(put(tmp_path, [una, DUO]))
    table = read_recordings(artifact)
    row = table.loc["recordings/XC1.mp3"].to_dict()
    assert row | {"secondary_labels": list(row["secondary_labels"])} == {
        "recording": "recordings/XC1.mp3",
        "sha256": "1",
        "primary_label": "Avis una",
        "secondary_labels": [],
        "usable": True,
        "author": "Ann",
        "license": "cc-by-nc 4.0",
        "url": "https://x.org/1",
        "collection": "XC",
        "scientific_name": "Avis una",
        "common_name": "One",
        "type": "song, call",
        "rating": 4.0,
        "latitude": 1.5,
        "longitude": 2.5,
    }
    assert pd.isna(table.loc["recordings/XC2.mp3", "rating"])
    assert artifact.metrics == {
        "recordings": 2, "usable": 2, "leaks": 0, "there_twice": 0, "species": 2
    }  # fmt: skip


def test_classes_are_the_species_of_usable_recordings(tmp_path: Path, made: Made) -> None:
    artifact = made(put(tmp_path, [UNA, DUO, TRES]), {3: "id"})
    assert read_labels(artifact) == ("Avis duo", "Avis una")
    # Of what else was heard, what is no class is left out.
    heard = read_recordings(artifact)["secondary_labels"]
    assert list(heard["recordings/XC2.mp3"]) == ["Avis una", "Avis duo"]


def test_what_the_competition_has_is_not_usable_and_named(tmp_path: Path, made: Made) -> None:
    artifact = made(put(tmp_path, [UNA, DUO, TRES]), {1: "audio"}, {}, {3: "id"})
    usable = read_recordings(artifact)["usable"]
    assert usable.to_dict() == {
        "recordings/XC1.mp3": False, "recordings/XC2.mp3": True, "recordings/XC3.mp3": False
    }  # fmt: skip
    left_out = pd.read_parquet(artifact / "left_out.parquet")
    assert left_out[["recording", "why"]].to_numpy().tolist() == [
        ["recordings/XC1.mp3", "audio"], ["recordings/XC3.mp3", "id"]
    ]  # fmt: skip
    assert artifact.metrics["leaks"] == 2


def test_of_recordings_with_one_content_the_first_is_usable(tmp_path: Path, made: Made) -> None:
    records = [replace(UNA, id=number) for number in (4, 5, 6, 7)]
    artifact = made(put(tmp_path, records, ["x", "y", "x", "x"]))
    usable = read_recordings(artifact)["usable"]
    assert usable.tolist() == [True, True, False, False]
    assert artifact.metrics["there_twice"] == 2


def test_the_copy_of_a_leak_is_a_leak(tmp_path: Path, made: Made) -> None:
    records = [replace(UNA, id=number) for number in (4, 5, 6)]
    artifact = made(put(tmp_path, records, ["x", "x", "y"]), {5: "id"})
    assert read_recordings(artifact)["usable"].tolist() == [False, False, True]
    assert artifact.metrics["leaks"] == 2


def test_a_collection_of_leaks_alone_is_refused(tmp_path: Path, made: Made) -> None:
    with pytest.raises(ValueError, match="all 2 recordings of the collection are the competition"):
        made(put(tmp_path, [UNA, DUO]), {1: "id", 2: "audio"})


def test_it_has_the_tables_of_the_competitions_catalogue(
    tmp_path: Path, made: Made, store: Store, tiny_data: Path
) -> None:
    theirs = store.make(catalog.step(scan(tiny_data, store)), catalog.run)
    ours = made(put(tmp_path, [UNA, DUO]))
    for name in ("recordings.parquet", "species.parquet"):
        a, b = pq.read_schema(theirs / name), pq.read_schema(ours / name)
        assert {f.name: _kind(f.type) for f in a} == {f.name: _kind(f.type) for f in b}


def _kind(of: object) -> str:
    return str(of).replace("large_string", "string")


def test_real_records_become_folds_by_recordist(
    shared_data: Path, tmp_path: Path, made: Made, store: Store
) -> None:
    raw = json.loads((shared_data / "xeno-canto/recordings.json").read_text())
    rows = raw["recordings"] if isinstance(raw, dict) else raw
    records = [parse_record(row) for row in rows]
    artifact = made(put(tmp_path, records))
    table = read_recordings(artifact)
    assert artifact.metrics["usable"] == len(table) == len(records) == 120
    assert table["license"].str.startswith("cc").all()
    assert table["rating"].isin([1, 2, 3, 4, 5]).sum() == sum(bool(r.quality) for r in records)
    assert set(read_labels(artifact)) == {r.scientific_name for r in records}
    folded = store.make(folds.step(artifact.ref, 2, 0), folds.run)
    assert folded.metrics["recordings"] == len(records)


def test_its_key_is_that_of_records_recordings_and_leaks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    leaks = (Ref("leaks", "0"),)
    key = collection.step(put(tmp_path / "a", [UNA, DUO]), leaks).key
    assert collection.step(put(tmp_path / "b", [UNA, DUO]), leaks).key == key
    others = [
        (put(tmp_path / "b", [replace(UNA, quality="C"), DUO]), leaks),
        (put(tmp_path / "b", [UNA, DUO], ["x", "y"]), leaks),
        (put(tmp_path / "b", [UNA, DUO]), (Ref("leaks", "1"),)),
    ]
    assert key not in {collection.step(*other).key for other in others}
