"""What does not fit in a run's data: `problems.csv` in `--out`, and the notes of a plan.

Most is known before anything runs; what could not be read, and rows without a prediction,
as soon as the steps that find it are done. So the table is written however the run ends.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd

from birdcore.audio.cleaned import read_problems
from birdcore.csv_table import Problem
from birdcore.sources.row_names import stem_of
from birdcore.stages.clean import cuts
from birdcore.stages.score import ENSEMBLE, SCORES
from birdcore.store.format import StoreError
from birdcore.store.remote import RemoteError, RemoteUnavailable
from birdcore.store.store import Store
from birdcore.text import to_csv
from flows.dag import Dag
from flows.result_folder import write_results_to

PROBLEMS = "problems.csv"
FEW = 3


def notes(problems: Iterable[Problem]) -> list[str]:
    """A line for each of the first few problems of a kind, and one that counts the others."""
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.problem].append(problem)
    lines = []
    for kind, alike in by_kind.items():
        lines += [f"{kind}: {p.where}" + f" ({p.detail})" * bool(p.detail) for p in alike[:FEW]]
        if len(alike) > FEW:
            lines.append(f"{kind}: {len(alike) - FEW} more")
    return lines


def write_problems(dag: Dag, store: Store, out: Path) -> None:
    """Have `problems.csv` in a run's folder as far as it is known by now.

    Raises ForeignFile where a file of a person's own has that name.
    """
    write_results_to(out, {PROBLEMS: problems_csv(dag, store)})


def problems_csv(dag: Dag, store: Store) -> str:
    """All that is known by now; a store whose remote is away takes nothing with it."""
    problems = list(dag.problems)
    with suppress(RemoteUnavailable, RemoteError, StoreError):
        problems += found_by_steps(dag, store)
    return to_csv(pd.DataFrame(problems, columns=list(Problem._fields)))


def found_by_steps(dag: Dag, store: Store) -> Iterator[Problem]:
    """What is wrong with recordings, rows without a prediction, and what folds had to do."""
    why: dict[str, str] = {}
    for step, artifact in dag.made("clean", store):
        soundscapes = not cuts(step)
        for row in read_problems(artifact.folder, soundscapes=soundscapes).itertuples(
            index=False, name=None
        ):
            yield Problem(*row)
        if soundscapes:
            rejected = pd.read_parquet(artifact / "rejected.parquet")
            for name, reason in rejected[["recording", "reason"]].itertuples(index=False):
                why[dag.names.get(name, name)] = reason
    yield from _found_in_sources(dag, store)
    for step, artifact in dag.made("folds", store):
        if note := artifact.metrics.get("note"):
            yield Problem("folds", step.name, str(note))
    for _, artifact in dag.made("submission", store):
        unheard = pd.read_parquet(artifact / "unheard.parquet")["row_id"]
        for where, rows, reason in _by_soundscape(unheard, why, dag):
            what = f"{rows} rows hold each class's mean: {reason}"
            yield Problem("rows that nothing was heard for", where, what)
    for step, artifact in dag.made("score", store):
        scores = json.loads((artifact / SCORES).read_text())
        (truth,) = step.files
        if not scores:
            yield Problem("nothing to score", truth, str(artifact.metrics["why"]))
            continue
        for where, rows, reason in _by_soundscape(scores[ENSEMBLE]["rows_missing"], why, dag):
            yield Problem("rows of the truth not scored", where, f"{rows} rows: {reason}")
        for label in scores[ENSEMBLE]["classes_missing"]:
            yield Problem("class of the truth not scored", truth, f"{label} is no class of the run")


def _found_in_sources(dag: Dag, store: Store) -> Iterator[Problem]:
    """What of the recipe's [[source]] tables is not used, and why."""
    for step, artifact in dag.made("collection", store):
        if not step.config.get("folder"):
            continue  # what is left out of a collection is not listed
        leaks = pd.read_parquet(artifact / "left_out.parquet").drop_duplicates("recording")
        for leak in leaks.itertuples():
            detail = f"the same as {leak.same_as}, by {leak.why}: {leak.evidence}"
            yield Problem("recording of an earlier source", str(leak.recording), detail)
    known = set(dag.problems)
    for _, artifact in dag.made("joined", store):
        table = pd.read_parquet(artifact / "problems.parquet")
        problems = [Problem(*row) for row in table.itertuples(index=False, name=None)]
        yield from (problem for problem in problems if problem not in known)


def _by_soundscape(
    row_ids: Iterable[str], why: dict[str, str], dag: Dag
) -> Iterator[tuple[str, int, str]]:
    """Soundscapes, how many of these rows each has, and why they have nothing."""
    counts: dict[str, int] = defaultdict(int)
    for row in row_ids:
        counts[stem_of(row)] += 1
    paths = {name: path for path, name in dag.names.items()}
    for name, rows in counts.items():
        if name in why:
            yield paths[name], rows, why[name]
        elif name in paths:
            yield paths[name], rows, "no segment of the recording ends then"
        else:
            yield name, rows, "there is no such soundscape"
