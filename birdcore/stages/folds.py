"""Stage `folds`: which labelled recordings validate together.

Recordings of one author (or, where unknown, each recording) have one fold, and species are spread
evenly. A species whose recordings are all of one author or in one fold could only be learnt or
validated, never both: it trains everywhere (fold -1) and is not scored. Where authors are too few
for the folds, recordings are spread without regard to them, and a note says so. Publishes
`folds.parquet`.
"""

from birdcore.sources.catalog import read_recordings
from birdcore.sources.folds import EVERYWHERE, assign_folds
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

VERSION = 2


def step(catalog: Ref, count: int, seed: int) -> Step:
    return Step("folds", VERSION, "folds", {"count": count, "seed": seed}, {"catalog": (catalog,)})


def run(job: Job) -> Metrics:
    recordings = read_recordings(job.input("catalog"))
    usable = recordings[recordings["usable"]]
    count = job.config["count"]
    assigned = assign_folds(usable, count, job.config["seed"])
    folds = assigned.of
    folds.rename("fold").reset_index().to_parquet(job.folder / "folds.parquet", index=False)
    scored = usable["primary_label"][folds != EVERYWHERE].nunique()
    sizes = folds.value_counts()
    return {
        "recordings": len(folds),
        "train_everywhere": int(sizes.get(EVERYWHERE, 0)),
        "species_scored": int(scored),
        "fold_sizes": [int(sizes.get(i, 0)) for i in range(count)],
    } | ({"note": assigned.note} if assigned.note else {})
