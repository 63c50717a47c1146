"""A collection of Xeno-canto recordings as a source: the part that a recipe wants and has."""

from dataclasses import dataclass
from pathlib import Path

from birdcore.config.xeno_canto import XenoCanto
from birdcore.sources.birdclef import SourceFile
from birdcore.sources.tables import Tables
from birdcore.store.digests import digests
from birdcore.store.files import file_sha256
from birdcore.xeno_canto.folder import RECORDINGS, collected, recording_path
from birdcore.xeno_canto.record import xeno_canto_id
from birdcore.xeno_canto.selection import Competition
from birdcore.xeno_canto.selection_state import (
    CHOSEN,
    FAILED,
    LEFT_OUT,
    chosen_records,
    selection_folder,
)

DIGESTS = "digests.parquet"


@dataclass(frozen=True)
class Collected:
    """The part of a collection that a recipe wants and has: `chosen` is the records' table."""

    root: Path
    chosen: SourceFile
    audio: tuple[SourceFile, ...]


def competition_of(tables: Tables) -> Competition:
    """The species of a data folder, and the ids in its training recordings' names and urls."""
    names = {*tables.taxonomy["scientific_name"], *tables.train["scientific_name"]} - {""}
    said = [*tables.train["filename"], *tables.train["url"]]
    ids = {number for text in said if (number := xeno_canto_id(text)) is not None}
    return Competition(frozenset(names), frozenset(ids))


def collected_part(folder: Path, wanted: XenoCanto, competition: Competition) -> Collected:
    """What is there of the last selection; raises ValueError where there is nothing.

    A recording that holds something else than its note says (two of one size that changed names)
    is none of them.
    """
    home = selection_folder(folder, wanted, competition)
    chosen = chosen_records(folder, wanted, competition)
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
            f"run birdflow collect with this recipe, or see why in {home / LEFT_OUT} and "
            f"{home / FAILED}"
        )
    table = home / CHOSEN
    name = table.relative_to(folder).as_posix()
    return Collected(
        folder.absolute(),
        SourceFile(name, table.stat().st_size, file_sha256(table)),
        tuple(audio),
    )
