"""A collection of an archive's recordings as a source: the part that a recipe wants and has.

What is said here of Xeno-canto goes for iNaturalist as well, whose door is `inaturalist.py`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from birdcore.archives.folder import RECORDINGS, collected, folder_of, recording_path
from birdcore.archives.record import Record, inaturalist_id, observation_of, rating, xeno_canto_id
from birdcore.archives.record_table import read_records
from birdcore.archives.selection import Competition
from birdcore.archives.selection_state import (
    CHOSEN,
    FAILED,
    LEFT_OUT,
    chosen_records,
    selection_folder,
)
from birdcore.config import Criteria, Recipe, XenoCanto
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.sources.tables import Tables
from birdcore.store.artifact import Metrics
from birdcore.store.digests import Digester, digests
from birdcore.store.files import file_sha256

DIGESTS = "digests.parquet"


def competition_of(tables: Tables | None, criteria: Criteria) -> Competition:
    """The species of a data folder, and an archive's ids in its recordings' names and urls."""
    if tables is None:
        return Competition()
    names = {*tables.taxonomy["scientific_name"], *tables.train["scientific_name"]} - {""}
    said = [*tables.train["filename"], *tables.train["url"]]
    if isinstance(criteria, XenoCanto):
        return Competition(frozenset(names), _found(xeno_canto_id, said))
    sounds, observations = _found(inaturalist_id, said), _found(observation_of, said)
    return Competition(frozenset(names), sounds, observations)


def _found(read: Callable[[str], int | None], texts: Iterable[str]) -> frozenset[int]:
    return frozenset(number for text in texts if (number := read(text)) is not None)


def read(folder: Path, store: Digester, recipe: Recipe, main: Source | None) -> Source:
    """What the collection has of the last selection for a recipe's [xeno_canto].

    Raises:
        ValueError: It has nothing of it.
    """
    assert main is not None
    assert recipe.xeno_canto is not None
    return part_for(folder, recipe.xeno_canto, main)


def part_for(collection: Path, criteria: Criteria, main: Source) -> Source:
    """What a collection has for an archive's criteria beside a data folder; see `read`."""
    folder = folder_of(collection, criteria.table)
    return collected_part(folder, criteria, competition_of(main.metadata, criteria))


def collected_part(folder: Path, criteria: Criteria, competition: Competition) -> Source:
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
            f"the collection {folder} holds no recording that [{criteria.table}] wants: "
            f"run birdflow collect with this recipe, or see why in {directory / LEFT_OUT} and "
            f"{directory / FAILED}"
        )
    table = directory / CHOSEN
    return Source(
        name=criteria.data(),
        root=folder.absolute(),
        subsets=(Subset(criteria.table, "labelled", tuple(audio)),),
        tables={table.relative_to(folder).as_posix(): file_sha256(table)},
    )


def catalog(given: CatalogInput, collection: str = "XC") -> Catalog:
    """The catalogue of a collection; classes are the scientific names of usable recordings.

    Args:
        given: The files and the leaks among them.
        collection: Of which archive, as train.csv says it: XC or iNat.

    Raises:
        ValueError: All of the recordings are leaks.
    """
    (chosen,) = given.tables
    records = {f"{collection}{r.id}": r for r in read_records(given.root / chosen)}
    rows = [
        _row(path, sha, records[Path(path).stem], collection, usable=sha not in given.leaked)
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


def _row(
    path: str, sha: str, record: Record, collection: str, *, usable: bool
) -> dict[str, object]:
    return {
        "recording": path,
        "sha256": sha,
        "primary_label": record.scientific_name,
        "secondary_labels": list(record.also),
        "usable": usable,
        "author": record.recordist,
        "license": record.licence,
        "url": record.url,
        "collection": collection,
        "scientific_name": record.scientific_name,
        "common_name": record.common_name,
        "type": ", ".join(record.types),
        "rating": rating(record.quality),
        "latitude": record.latitude,
        "longitude": record.longitude,
    }
