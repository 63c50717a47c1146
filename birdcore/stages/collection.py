"""Stage `collection`: the catalogue of a source beside the data folder, such as Xeno-canto.

Publishes the same tables as stage `catalog` (`recordings.parquet`, `species.parquet`), so that
folds and training read either. A recording that the data folder has as well is not usable;
`left_out.parquet` says which and why.
"""

from birdcore.sources.source import Source
from birdcore.stages.catalog import files_of, make_catalog, settings_of
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 1


def step(source: Source, leaks: tuple[Ref, ...]) -> Step:
    """The catalogue of a source; `leaks` are the tables of its shards by the stage `leaks`."""
    config, files = settings_of(source), files_of(source)
    name = f"collection {source.folder}".rstrip()
    return Step("collection", VERSION, name, config, {"leaks": leaks}, **files)


def run(job: Job) -> Metrics:
    import pandas as pd

    leaks = pd.concat([pd.read_parquet(a / "leaks.parquet") for a in job.inputs("leaks")])
    # By content and not by name: a copy of a leak is a leak as well.
    leaked = frozenset(job.step.files[path] for path in leaks["recording"])
    made = make_catalog(job, leaked).without(leaked)
    made.write(job.folder)
    if job.config.get("folder"):  # of a further source, whose problems its run tells
        made.write_problems(job.folder)
    leaks.to_parquet(job.folder / "left_out.parquet", index=False)
    return made.metrics
