"""Stage `score`: the submission and each round against the truth, where the data has one.

The truth is read here and by no other stage. Publishes `scores.json`.
"""

import json
from dataclasses import asdict

import numpy as np

from birdcore.artifact import Facts, Ref, Step
from birdcore.catalog.source import Source
from birdcore.files import file_sha256, write_text
from birdcore.predict.submission import rounds_of
from birdcore.recipe import Score, defaults_of
from birdcore.score.files import score_files
from birdcore.store import Job

VERSION = 1
ENSEMBLE = "ensemble"


def step(settings: Score, source: Source, submission: Ref) -> Step | None:
    """None where the data has no truth."""
    truth = source.root / settings.truth
    if not truth.is_file():
        return None
    return Step(
        "score",
        VERSION,
        "score",
        {"bootstrap": settings.bootstrap},
        {"submission": (submission,)},
        {settings.truth: file_sha256(truth)},
        str(source.root),
        defaults_of(settings),
    )


def run(job: Job) -> Facts:
    (truth,) = job.step.files
    submission = job.input("submission")
    tables = {name: submission / "rounds" / f"{name}.csv" for name in rounds_of(submission)}
    tables[ENSEMBLE] = submission / "submission.csv"
    scores = {
        name: score_files(
            path,
            job.source(truth),
            generator=np.random.default_rng(0),
            rounds=job.config["bootstrap"],
        )
        for name, path in tables.items()
    }
    text = json.dumps({name: asdict(s) for name, s in scores.items()}, indent=1) + "\n"
    write_text(job.folder / "scores.json", text)
    return {name: round(s.macro_auc, 4) for name, s in scores.items()} | {
        "classes_scored": scores[ENSEMBLE].classes_scored
    }
