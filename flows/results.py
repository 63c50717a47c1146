"""What a person takes away from a run: submission, scores, weights, tables, one page of text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from birdcore.config import Recipe
from birdcore.report.run_metadata import flat
from birdcore.stages.report import settings_of
from birdcore.stages.score import ENSEMBLE, SCORES
from birdcore.store.artifact import Artifact, Step
from birdcore.store.files import read_regular
from birdcore.store.store import Store
from birdcore.text import markdown, plain_text, to_csv
from birdcore.training.records import EXTERNAL, FILE, merged, read_attribution, terms
from flows.dag import Dag
from flows.model_files import model_files
from flows.problems import PROBLEMS, notes, problems_csv
from flows.request import OTHERWISE
from flows.result_folder import replace_results
from flows.score_lines import not_scored

SHOWN = 3
SETTINGS_BYTES = 1 << 20
SETTINGS = "settings.json"
"""The settings that decide the results, as the stage `report` has them."""

SUBMISSIONS = {
    "submission.csv": "submission.csv",
    "probabilities.csv": "probabilities.csv",
    "predictions.": "predictions.",
    "rounds/": "submission-",
}
"""Files of the stage `submission` by how their names begin, and what stands for that in `out`."""


def write_results(dag: Dag, store: Store, out: Path) -> dict[str, Any]:
    """Copy the results of a finished DAG to `out`; returns the scores by round (may be empty).

    Page and scores may be missing: a picture or a truth that fails takes no submission with it.
    """
    (submitted,) = dag.of("submission")
    files: dict[str, str | Path] = dict(_of(store.get(submitted.ref), SUBMISSIONS))
    scores: dict[str, Any] = {}
    for _, scored in dag.made("score", store):
        files[SCORES] = scored / SCORES
        scores = json.loads((scored / SCORES).read_text())
    files |= _tables(dag, store)
    used = merged(read_attribution(store.get(step.ref) / FILE) for step in dag.trained)
    files[FILE] = to_csv(used)
    files["MODEL_CARD.md"] = card(dag, store, used, scores)
    files |= model_files(dag, store)
    files["summary.md"] = summary(dag, store, scores)
    for step in dag.of("report"):
        files[SETTINGS] = json.dumps(step.config, indent=1) + "\n"
    for _, page in dag.made("report", store):
        files |= _of(page, {"": "report/"})
    replace_results(out, files)
    return scores


def other_settings(recipe: Recipe, out: Path) -> str | None:
    """What a run of this recipe would replace in `out`, where its settings are others; in a line.

    None where they are the same, or nothing says what they were.
    """
    try:
        before = json.loads(read_regular(out / SETTINGS, SETTINGS_BYTES))
        # As JSON has them, which knows no tuples.
        now = json.loads(json.dumps(settings_of(recipe)))
        old, new = dict(flat(before)), dict(flat(now))
    except (OSError, ValueError, AttributeError):  # there are none, or a file of the user's own
        return None
    changes = [
        f"{name} was {plain_text(old.get(name, 'not set'))}, is {new.get(name, 'not set')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if not changes:
        return None
    more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return (
        f"{out} holds results of other settings ({'; '.join(changes[:SHOWN])}{more}), "
        "which will be replaced: give another --out to keep them"
    )


def _tables(dag: Dag, store: Store) -> dict[str, str]:
    """What was cut, rejected and left out, over all shards, and what did not fit: CSV by name."""
    cleaned = [store.get(step.ref) for step in dag.of("clean")]
    tables = {}
    for name in ("cuts", "rejected"):
        rows = [pd.read_parquet(artifact / f"{name}.parquet") for artifact in cleaned]
        tables[f"{name}.csv"] = pd.concat(rows)
    for step in dag.of("collection"):
        tables["leaks.csv"] = pd.read_parquet(store.get(step.ref) / "left_out.parquet")
    texts = {name: to_csv(table, float_format="%.3f") for name, table in tables.items()}
    return texts | {PROBLEMS: problems_csv(dag, store)}


def card(dag: Dag, store: Store, used: pd.DataFrame, scores: dict[str, Any]) -> str:
    """What whoever gets the models must know of them, in Markdown."""
    teachers = used[used["recording"].str.startswith(EXTERNAL)]
    used = used.drop(teachers.index)
    counts = terms(used["license"])
    says = {
        "nc": "forbid commercial use (NC): so do these models",
        "nd": "forbid derivatives (ND): ask their recordists before you give these models away",
        "unknown": "name no licence",
    }
    lines = ["# Model card", "", f"Trained on {len(used)} recordings, listed in {FILE}.", ""]
    lines += [f"- {counts[key]} {text}." for key, text in says.items() if counts[key]]
    for _, teacher in teachers.iterrows():
        lines.append(
            f"- Taught by {markdown(teacher['recording'].removeprefix(EXTERNAL))} "
            f"({markdown(teacher['author'])}; {markdown(teacher['url'])}), "
            f"{markdown(teacher['license'])}: these models are under its terms."
        )
    licences = used["license"].value_counts().items()
    lines += _table("licence", "recordings", rows=((name or "unknown", n) for name, n in licences))
    trained = [(step.name, store.get(step.ref).metrics) for step in dag.trained]
    lines += _table(
        "model",
        "recordings",
        "validation macro ROC-AUC",
        rows=(
            (name, m["trained_on"], "" if m["auc"] is None else f"{m['auc']:.4f}")
            for name, m in trained
        ),
    )
    if scores:
        lines += ["", f"On the labelled test soundscapes: {scores[ENSEMBLE]['macro_auc']:.4f}."]
    return "\n".join(lines) + "\n"


def summary(dag: Dag, store: Store, scores: dict[str, Any]) -> str:
    """The run on one page, in Markdown."""
    lines = ["# Run"]
    if scores:
        by_round = sorted(scores.items(), key=lambda item: item[0] == ENSEMBLE)
        lines += _table(
            "round", "macro ROC-AUC", "95 % interval", "cmAP", "classes",
            rows=((name, *score_texts(s), s["classes_scored"]) for name, s in by_round),
        )  # fmt: skip
    otherwise = [problem for problem in dag.problems if problem.problem in OTHERWISE]
    for line in [*notes(otherwise), *not_scored(scores)]:
        lines += ["", markdown(line)]
    found = ((step.name, store.find(step.ref)) for step in dag.steps)
    lines += _table(
        "step", "took", "metrics",
        rows=((name, f"{a.manifest.took_s:.1f} s", facts_text(a)) for name, a in found if a),
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _table(*columns: str, rows: Iterable[Sequence[object]]) -> list[str]:
    """A blank line and a table in Markdown, its cells as literal text."""
    head = ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return head + [f"| {' | '.join(map(markdown, row))} |" for row in rows]


def score_texts(scores: Mapping[str, float]) -> tuple[str, str, str]:
    """Macro ROC-AUC, its interval and cmAP, as tables show them."""
    interval = f"{scores['macro_auc_low']:.4f} to {scores['macro_auc_high']:.4f}"
    return f"{scores['macro_auc']:.4f}", interval, f"{scores['cmap']:.4f}"


def facts_text(artifact: Artifact) -> str:
    return ", ".join(f"{key} {value}" for key, value in artifact.metrics.items())


def stage_table(steps: list[Step], store: Store, began: str) -> list[dict[str, Any]]:
    """One row per step that is done: what the UI shows of a stage, for a run that then began."""
    rows = []
    for step in steps:
        if artifact := store.find(step.ref):
            metrics = {key: plain_text(str(value)) for key, value in artifact.metrics.items()}
            took = f"{artifact.manifest.took_s:.1f} s"
            cached = "cached" if artifact.manifest.made_at < began else "made"
            about = {"step": plain_text(step.name), "": cached, "key": step.key[:12], "took": took}
            rows.append(about | metrics)
    return rows


def _of(artifact: Artifact, names: Mapping[str, str]) -> dict[str, Path]:
    """An artifact's files whose names begin so, by the names that they have in `out`.

    A page is the last of its folder: when it is there, so are its pictures.
    """
    return {
        instead + file.name.removeprefix(beginning): artifact / file.name
        for file in sorted(
            artifact.manifest.files, key=lambda f: (f.name.endswith(".html"), f.name)
        )
        for beginning, instead in names.items()
        if file.name.startswith(beginning)
    }
