"""A collection of Xeno-canto recordings as a source: the part that a recipe wants and has."""

from pathlib import Path

import pandas as pd

from birdcore.archives.folder import RECORDINGS, collected, recording_path
from birdcore.archives.record import Record, rating, xeno_canto_id
from birdcore.archives.record_table import read_records
from birdcore.archives.selection import Competition
from birdcore.archives.selection_state import (
    CHOSEN,
    FAILED,
    LEFT_OUT,
    chosen_records,
    selection_folder,
)
from birdcore.config import Recipe, XenoCanto
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.sources.tables import Tables
from birdcore.store.artifact import Metrics
from birdcore.store.digests import Digester, digests
from birdcore.store.files import file_sha256

DIGESTS = "digests.parquet"
SUBSET = "xeno_canto"
"""What shards and steps of the collection are called."""


def competition_of(tables: Tables | None) -> Competition:
    """The species of a data folder, and the ids in its training recordings' names and urls."""
    if tables is None:
        return Competition()
    names = {*tables.taxonomy["scientific_name"], *tables.train["scientific_name"]} - {""}
    said = [*tables.train["filename"], *tables.train["url"]]
    ids = {number for text in said if (number := xeno_canto_id(text)) is not None}
    return Competition(frozenset(names), frozenset(ids))


def read(folder: Path, store: Digester, recipe: Recipe, main: Source | None) -> Source:
    """What the collection has of the last selection for a recipe's [xeno_canto].

    Raises:
        ValueError: It has nothing of it.
    """
    criteria = recipe.xeno_canto
    assert main is not None
    assert criteria is not None
    return collected_part(folder, criteria, competition_of(main.metadata))


def collected_part(folder: Path, criteria: XenoCanto, competition: Competition) -> Source:
    """What is there of the last selection; raises ValueError where there is nothing.

    A recording that holds something else than its note says (two of one size that changed names)
    is none of them.
    """
    directory = selection_folder(folder, criteria, competition)
    chosen = chosen_records(folder, criteria, competition)
    there = collected(folder)
    notes = [there[record.id] for record in chosen if record.id in there]
    read = digests([recording_path(folder, note) for note in notes], folder / DIGESTS)
    audio = [
        SourceFile(f"{RECORDINGS}/{note.name}", note.bytes, note.sha256)
        for note in notes
        if read[recording_path(folder, note)].sha256 == note.sha256
    ]
    if not audio:
        raise ValueError(
            f"the collection {folder} holds no recording that [xeno_canto] wants: "
            f"run birdflow collect with this recipe, or see why in {directory / LEFT_OUT} and "
            f"{directory / FAILED}"
        )
    table = directory / CHOSEN
    return Source(
        name="xeno-canto",
        root=folder.absolute(),
        subsets=(Subset(SUBSET, "labelled", tuple(audio)),),
        tables={table.relative_to(folder).as_posix(): file_sha256(table)},
    )


def catalog(given: CatalogInput) -> Catalog:
    """The catalogue of a collection; classes are the scientific names of usable recordings.

    Raises:
        ValueError: All of the recordings are leaks.
    """
    (chosen,) = given.tables
    records: dict[int | None, Record] = {r.id: r for r in read_records(given.root / chosen)}
    rows = [
        _row(path, sha, records[xeno_canto_id(path)], usable=sha not in given.leaked)
        for path, sha in given.audio.items()
    ]
    recordings = pd.DataFrame(rows).sort_values("recording")
    candidates = recordings["usable"]
    repeated = candidates & recordings["sha256"].where(candidates).duplicated()
    recordings["usable"] &= ~repeated
    usable = recordings[recordings["usable"]]
    if usable.empty:
        raise ValueError(f"all {len(rows)} recordings of the collection are the competition's own")
    species = usable.sort_values("primary_label").drop_duplicates("primary_label")
    species = species[["primary_label", "scientific_name", "common_name"]]
    species = species.rename(columns={"primary_label": "label"})
    species = species.assign(class_name="", inat_taxon_id="")
    # Other species that a recordist noted count where they are classes.
    known = set(species["label"])
    recordings["secondary_labels"] = [
        [name for name in also if name in known] for also in recordings["secondary_labels"]
    ]
    metrics: Metrics = {
        "recordings": len(recordings),
        "usable": len(usable),
        "leaks": sum(sha in given.leaked for sha in given.audio.values()),
        "there_twice": int(repeated.sum()),
        "species": len(species),
    }
    return Catalog(recordings, species, (), metrics)


def _row(path: str, sha: str, record: Record, *, usable: bool) -> dict[str, object]:
    return {
        "recording": path,
        "sha256": sha,
        "primary_label": record.scientific_name,
        "secondary_labels": list(record.also),
        "usable": usable,
        "author": record.recordist,
        "license": record.licence,
        "url": record.url,
        "collection": "XC",
        "scientific_name": record.scientific_name,
        "common_name": record.common_name,
        "type": ", ".join(record.types),
        "rating": rating(record.quality),
        "latitude": record.latitude,
        "longitude": record.longitude,
    }
