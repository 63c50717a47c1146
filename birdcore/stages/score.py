"""Stage `score`: the submission and each round against the truth, where the data has one.

The truth is read here and by no other stage. Publishes `scores.json`: what could be scored, and
which rows and classes of the truth the submission has not; `{}` where nothing could be.
"""

import json
from dataclasses import asdict

from birdcore.config import Score, defaults_of
from birdcore.csv_table import is_there
from birdcore.metrics.truth import read_truth
from birdcore.sources.row_names import refuse_one_for_two, stem_of
from birdcore.sources.soundscapes import rows_of
from birdcore.sources.source import STAND_INS, Source
from birdcore.stages.submission import ROUND
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.files import file_sha256, write_text
from birdcore.store.store import Job

VERSION = 2
ENSEMBLE, SCORES = "ensemble", "scores.json"


def step(settings: Score, source: Source, submission: Ref) -> Step | None:
    """The scores of a submission.

    Returns:
        None where the data has no truth, or none of a test soundscape that is there.

    Raises:
        ValueError: The truth is no table of true labels, or a row of it could be that of
            two soundscapes.
    """
    truth = source.root / settings.truth
    if not is_there(truth) or source.subset("test").name == STAND_INS:
        return None
    row_ids, names = read_truth(truth).row_ids, rows_of(source)
    refuse_one_for_two(str(truth), row_ids, names)
    if not {stem_of(row) for row in row_ids} & set(names.values()):
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


def run(job: Job) -> Metrics:
    import numpy as np

    from birdcore.inference.submission import scored_file
    from birdcore.metrics.files import NothingToScore, score_files

    settings = Score.model_validate(job.config)
    (truth,) = job.step.files
    submission = job.input("submission")
    rounds = [name for name in submission.manifest.inputs if name.startswith(ROUND)]
    names = [name.removeprefix(ROUND) for name in rounds]
    tables = {name: submission / "rounds" / f"{name}.csv" for name in names}
    tables[ENSEMBLE] = scored_file(submission.folder)
    try:
        scores = {
            name: score_files(
                path,
                job.source(truth),
                generator=np.random.default_rng(0),
                rounds=settings.bootstrap,
            )
            for name, path in tables.items()
        }
    except NothingToScore as error:  # of one as of all: they have the same rows and classes
        write_text(job.folder / SCORES, "{}\n")
        return {"classes_scored": 0, "why": str(error)}
    text = json.dumps({name: asdict(s) for name, s in scores.items()}, indent=1) + "\n"
    write_text(job.folder / SCORES, text)
    of_all = scores[ENSEMBLE]
    missing = {"rows": len(of_all.rows_missing), "classes": len(of_all.classes_missing)}
    return (
        {name: round(s.macro_auc, 4) for name, s in scores.items()}
        | {"classes_scored": of_all.classes_scored}
        | {f"{what}_missing": count for what, count in missing.items() if count}
    )
