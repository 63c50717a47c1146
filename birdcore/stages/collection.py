"""Stage `collection`: the catalogue of what is trained on from Xeno-canto.

Publishes the same tables as stage `catalog` (`recordings.parquet`, `species.parquet`), so that
folds and training read either. Classes are scientific names. A recording that the competition has
as well is not usable; `left_out.parquet` says which and why.
"""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdcore.sources.collection import Collected
from birdcore.stages.catalog import RECORDINGS
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job
from birdcore.xeno_canto.record import Record, rating, read_records, xeno_canto_id

VERSION = 1


def step(collected: Collected, leaks: tuple[Ref, ...]) -> Step:
    chosen = collected.chosen
    files = {chosen.path: chosen.sha256} | {f.path: f.sha256 for f in collected.audio}
    config = {"chosen": chosen.path}
    return Step(
        "collection", VERSION, "collection", config, {"leaks": leaks}, files, str(collected.root)
    )


def run(job: Job) -> Metrics:
    chosen = job.config["chosen"]
    records: dict[int | None, Record] = {r.id: r for r in read_records(job.source(chosen))}
    leaks = pd.concat([pd.read_parquet(a / "leaks.parquet") for a in job.inputs("leaks")])
    audio = {path: sha for path, sha in job.step.files.items() if path != chosen}
    leaked = {audio[path] for path in leaks["recording"]}  # contents: a copy is a leak as well
    rows = [
        _row(path, sha, records[xeno_canto_id(path)], usable=sha not in leaked)
        for path, sha in audio.items()
    ]
    recordings = pd.DataFrame(rows).sort_values("recording")
    again = recordings["usable"] & recordings[recordings["usable"]].duplicated("sha256").reindex(
        recordings.index, fill_value=False
    )
    recordings["usable"] &= ~again
    usable = recordings[recordings["usable"]]
    if usable.empty:
        raise ValueError(f"all {len(rows)} recordings of the collection are the competition's own")
    species = usable.sort_values("primary_label").drop_duplicates("primary_label")
    species = species[["primary_label", "scientific_name", "common_name"]]
    species = species.rename(columns={"primary_label": "label"})
    species.assign(class_name="", inat_taxon_id="").to_parquet(
        job.folder / "species.parquet", index=False
    )
    # Other species that a recordist heard count where they are classes.
    known = set(species["label"])
    recordings["secondary_labels"] = [
        [name for name in also if name in known] for also in recordings["secondary_labels"]
    ]
    pq.write_table(
        pa.Table.from_pandas(recordings, RECORDINGS, preserve_index=False),
        job.folder / "recordings.parquet",
    )
    leaks.to_parquet(job.folder / "left_out.parquet", index=False)
    return {
        "recordings": len(recordings),
        "usable": len(usable),
        "leaks": sum(sha in leaked for sha in audio.values()),
        "there_twice": int(again.sum()),
        "species": len(species),
    }


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
