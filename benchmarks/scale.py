"""What a plan costs at any number of recordings: shards, steps, keys, without any audio.

    python -m benchmarks.scale recipes/noisy-student.toml --recordings 10000 100000 1000000

Invents a data folder of so many recordings (one in a hundred a soundscape), gives them shards,
builds the DAG, asks the store for every step, and does the first three again as the next night
would, with a hundred recordings more. Nothing is decoded. Prints a table in Markdown: see
docs/scale.md for what follows from it.
"""

import argparse
import hashlib
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from benchmarks.peak import peak_mb
from birdcore.config import read_recipe
from birdcore.sources.source import MAIN, Source, SourceFile, Subset
from birdcore.sources.tables import Tables
from birdcore.store.store import Store
from flows.dag import Dag, build_dag
from flows.plan import plan
from flows.selection import Selection

SPECIES = 1000
SOUNDSCAPES = 100
"""One recording in so many is a soundscape."""
NEW = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--recordings", type=int, nargs="+", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, options.set)
    print(
        "| recordings | shards, DAG and keys, s | plan, s | steps | largest step, kB "
        "| ledger, MB | a night later, s | new steps | peak memory, MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for count in options.recordings:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "store")
            source = invented(count, Path(folder))
            began = time.monotonic()
            dag = keyed(build_dag(recipe, source, store, keep_shards=True))
            built = time.monotonic() - began
            began = time.monotonic()
            plan(Selection(dag.steps), store)
            planned = time.monotonic() - began
            largest = max(len(json.dumps(asdict(step))) for step in dag.steps)
            ledger = (store.root / "shards.parquet").stat().st_size
            more = with_new(source, NEW)
            began = time.monotonic()
            later = keyed(build_dag(recipe, more, store, keep_shards=True))
            again = time.monotonic() - began
            known = {step.ref for step in dag.steps}
            of_shards = [s for s in later.steps if s.stage in ("clean", "mel")]
            new = sum(step.ref not in known for step in of_shards)
            cells = [
                f"{count:,}", f"{built:.1f}", f"{planned:.1f}", len(dag.steps),
                f"{largest / 1e3:.0f}", f"{ledger / 1e6:.1f}", f"{again:.1f}", new,
                f"{peak_mb():.0f}",
            ]  # fmt: skip
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def invented(count: int, root: Path) -> Source:
    """A data folder with so many recordings, none of which is there."""
    soundscapes = count // SOUNDSCAPES
    species = [f"species{at:04d}" for at in range(SPECIES)]
    train = files("train_audio", count)
    columns = {
        "filename": [file.path.partition("/")[2] for file in train],
        "primary_label": [species[at % SPECIES] for at in range(count)],
        "secondary_labels": [()] * count,
        "url": "",
    }
    taxonomy = pd.DataFrame({"primary_label": species, "scientific_name": species})
    tables = Tables(pd.DataFrame(columns), taxonomy, tuple(species), ())
    subsets = (
        Subset("train_audio", "labelled", train),
        Subset("train_soundscapes", "unlabelled", files("train_soundscapes", soundscapes)),
        Subset("test_soundscapes", "test", files("test_soundscapes", soundscapes)),
    )
    return Source(MAIN, root, subsets, {"train.csv": "0" * 64}, tables)


def files(kind: str, count: int) -> tuple[SourceFile, ...]:
    paths = (f"{kind}/{at % SPECIES:04d}/XC{at}.ogg" for at in range(count))
    return tuple(SourceFile(p, 1, hashlib.sha256(p.encode()).hexdigest()) for p in paths)


def with_new(source: Source, count: int) -> Source:
    """The same folder after a night's download."""
    new = tuple(
        SourceFile(f"train_audio/new/XC{at}.ogg", 1, hashlib.sha256(b"%d" % at).hexdigest())
        for at in range(count)
    )
    labelled, *others = source.subsets
    return replace(source, subsets=(replace(labelled, files=labelled.files + new), *others))


def keyed(dag: Dag) -> Dag:
    for step in dag.steps:
        assert step.key
    return dag


if __name__ == "__main__":
    main()
