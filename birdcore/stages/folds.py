"""Stage `folds`: which labelled recordings validate together (`birdcore/sources/folds.py`).

Publishes `folds.parquet`: a fold for each usable recording. Where authors are too few for the
folds, recordings are spread without regard to them, and a note says so.
"""

from collections import Counter

from birdcore.config.section import Section
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 2


class Settings(Section):
    """How many folds, and the seed of their assignment."""

    count: int
    seed: int


def step(catalog: Ref, count: int, seed: int) -> Step:
    config = Settings(count=count, seed=seed).model_dump()
    return Step("folds", VERSION, "folds", config, {"catalog": (catalog,)})


def run(job: Job) -> Metrics:
    import pandas as pd

    from birdcore.sources.annotated import annotated_folds, read_annotated
    from birdcore.sources.catalog import read_recordings
    from birdcore.sources.folds import EVERYWHERE, assign_folds

    settings = Settings.model_validate(job.config)
    recordings = read_recordings(job.input("catalog"))
    usable = recordings[recordings["usable"]]
    assigned = assign_folds(usable, settings.count, settings.seed)
    folds: pd.Series = assigned.of
    annotated = read_annotated(job.input("catalog"))
    if annotated is not None:
        times = Counter(usable["primary_label"])
        folds = pd.concat([folds, annotated_folds(annotated, times, settings.count, settings.seed)])
        folds.index.name = "recording"
    folds.rename("fold").reset_index().to_parquet(job.folder / "folds.parquet", index=False)
    scored = usable["primary_label"][assigned.of != EVERYWHERE].nunique()
    sizes = folds.value_counts()
    return {
        "recordings": len(folds),
        "train_everywhere": int(sizes.get(EVERYWHERE, 0)),
        "species_scored": int(scored),
        "fold_sizes": [int(sizes.get(i, 0)) for i in range(settings.count)],
    } | ({"note": assigned.note} if assigned.note else {})
