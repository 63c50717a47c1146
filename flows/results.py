"""What a person takes away from a run: submission, scores, weights, tables, one page of text."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from birdcore.stages.score import ENSEMBLE
from birdcore.store.artifact import Artifact, Step
from birdcore.store.store import Store
from birdcore.text import markdown, plain_text, to_csv
from birdcore.training.records import EXTERNAL, FILE, merged, read_attribution, terms
from flows.dag import Dag
from flows.problems import PROBLEMS, problems_csv
from flows.result_folder import replace_results

SUBMISSIONS = {"submission.csv": "submission.csv", "rounds/": "submission-"}
"""Files of the stage `submission` by how their names begin, and what stands for that in `out`."""


def write_results(dag: Dag, store: Store, out: Path) -> dict[str, Any]:
    """Copy the results of a finished DAG to `out`; returns the scores by round (may be empty).

    Page and scores may be missing: a picture or a truth that fails takes no submission with it.
    """
    files: dict[str, str | Path] = dict(_of(store.get(dag.submission.ref), SUBMISSIONS))
    scores: dict[str, Any] = {}
    if dag.score is not None and store.find(dag.score.ref):
        path = store.get(dag.score.ref) / "scores.json"
        files["scores.json"] = path
        scores = json.loads(path.read_text())
    files |= _tables(dag, store)
    used = merged(
        read_attribution(store.get(step.ref) / FILE) for step in dag.steps if step.stage == "train"
    )
    files[FILE] = to_csv(used)
    files["MODEL_CARD.md"] = card(dag, store, used, scores)
    files |= model_files(dag, store)
    files["summary.md"] = summary(dag, store, scores)
    for step in dag.steps:
        if step.stage == "report" and store.find(step.ref):
            files |= _of(store.get(step.ref), {"": "report/"})
    replace_results(out, files)
    return scores


def model_files(dag: Dag, store: Store) -> dict[str, str | Path]:
    """The ensemble's models and all that prediction needs, by their names in `out`.

    Empty where the ensemble is not there. A member that is an external teacher has a weight and no
    model: that is not ours to copy.
    """
    steps = {step.ref: step for step in dag.steps}
    weighed = next((step for step in dag.steps if step.stage == "ensemble"), None)
    reported = next((step for step in dag.steps if step.stage == "report"), None)
    if weighed is None or reported is None or (ensemble := store.find(weighed.ref)) is None:
        return {}
    from birdcore.inference.trained_model import (
        ENSEMBLE_FILE,
        FOLDER,
        MODEL_FILES,
        EnsembleSpec,
    )
    from birdcore.inference.weights import EnsembleWeights

    files: dict[str, str | Path] = {}
    members: dict[str, tuple[str, ...]] = {}
    models = {name: refs for name, refs in weighed.inputs.items() if not name.startswith("[")}
    for round_name, refs in models.items():
        for ref in refs:
            config = steps[ref].config
            member = f"{round_name}/{config['backbone']}"
            folder = f"{member}/fold-{config['fold']}"
            members[member] = (*members.get(member, ()), folder)
            artifact = store.get(ref)
            files |= {f"{FOLDER}/{folder}/{name}": artifact / name for name in MODEL_FILES}
    weights = EnsembleWeights.read(ensemble.folder)
    spec = EnsembleSpec(**weights.model_dump(), members=members, predict=reported.config["predict"])
    files[f"{FOLDER}/{ENSEMBLE_FILE}"] = spec.model_dump_json(indent=1) + "\n"
    return files


def _tables(dag: Dag, store: Store) -> dict[str, str]:
    """What was cut, rejected and left out, over all shards, and what did not fit: CSV by name."""
    cleaned = [store.get(step.ref) for step in dag.steps if step.stage == "clean"]
    tables = {}
    for name in ("cuts", "rejected"):
        rows = [pd.read_parquet(artifact / f"{name}.parquet") for artifact in cleaned]
        tables[f"{name}.csv"] = pd.concat(rows)
    for step in dag.steps:
        if step.stage == "collection":
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
    lines += ["", "| licence | recordings |", "|---|---|"]
    for licence, count in used["license"].value_counts().items():
        lines.append(f"| {markdown(licence or 'unknown')} | {count} |")
    lines += ["", "| model | recordings | validation macro ROC-AUC |", "|---|---|---|"]
    for step in dag.steps:
        if step.stage == "train":
            metrics = store.get(step.ref).metrics
            auc = "" if metrics["auc"] is None else f"{metrics['auc']:.4f}"
            lines.append(f"| {markdown(step.name)} | {metrics['trained_on']} | {auc} |")
    if scores:
        lines += ["", f"On the labelled test soundscapes: {scores[ENSEMBLE]['macro_auc']:.4f}."]
    return "\n".join(lines) + "\n"


def summary(dag: Dag, store: Store, scores: dict[str, Any]) -> str:
    """The run on one page, in Markdown."""
    lines = ["# Run", ""]
    if scores:
        lines += [
            "| round | macro ROC-AUC | 95 % interval | cmAP | classes |",
            "|---|---|---|---|---|",
            *(
                f"| {markdown(name)} | {s['macro_auc']:.4f} | {s['macro_auc_low']:.4f} to "
                f"{s['macro_auc_high']:.4f} | {s['cmap']:.4f} | {s['classes_scored']} |"
                for name, s in sorted(scores.items(), key=lambda item: item[0] == ENSEMBLE)
            ),
            "",
        ]
    for line in not_scored(scores):
        lines += [line, ""]
    lines += ["| step | took | metrics |", "|---|---|---|"]
    for step in dag.steps:
        if artifact := store.find(step.ref):
            took = f"{artifact.manifest.took_s:.1f} s"
            lines.append(f"| {markdown(step.name)} | {took} | {markdown(facts_text(artifact))} |")
    return "\n".join(lines) + "\n"


def not_scored(scores: dict[str, Any], why: str = "; problems.csv says why") -> list[str]:
    """What of the truth is not in the scores, in a line each."""
    of_all = scores.get(ENSEMBLE, {})
    missing = {name: of_all.get(f"{name}_missing", ()) for name in ("rows", "classes")}
    return [
        f"not scored: {len(names)} {what} of the truth: {', '.join(names[:3])}"
        f"{' …' if len(names) > 3 else ''}{why}"
        for what, names in missing.items()
        if names
    ]


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
