"""What a person takes away from a run: submission, scores, weights, tables, one page of text."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from birdcore.artifact import MANIFEST, Artifact, Step
from birdcore.audio.clean import recording_problems
from birdcore.files import write_text
from birdcore.learn.attribution import FILE, OUTSIDE, merged, read_attribution, terms
from birdcore.score.score import ENSEMBLE
from birdcore.store import Store
from flows.dag import Dag


def write_results(dag: Dag, store: Store, out: Path) -> dict[str, Any]:
    """Copy the results of a finished DAG to `out`; returns the scores by round (may be empty).

    The page of the run may be missing: a picture that fails takes no submission with it.
    """
    out.mkdir(parents=True, exist_ok=True)
    submission = store.get(dag.submission.ref)
    _copy(submission / "submission.csv", out / "submission.csv")
    for path in sorted((submission / "rounds").glob("*.csv")):
        _copy(path, out / f"submission-{path.stem}.csv")
    scores: dict[str, Any] = {}
    (out / "scores.json").unlink(missing_ok=True)
    if dag.score is not None:
        path = store.get(dag.score.ref) / "scores.json"
        _copy(path, out / "scores.json")
        scores = json.loads(path.read_text())
    _tables(dag, store, out)
    used = merged(
        read_attribution(store.get(step.ref) / FILE) for step in dag.steps if step.stage == "train"
    )
    used.to_csv(out / FILE, index=False)
    write_text(out / "MODEL_CARD.md", card(dag, store, used, scores))
    write_text(out / "summary.md", summary(dag, store, scores))
    for step in dag.steps:
        if step.stage == "report" and store.find(step.ref):
            _copy_page(store.get(step.ref), out / "report")
    return scores


def _tables(dag: Dag, store: Store, out: Path) -> None:
    """What was cut, rejected and did not fit, over all shards."""
    cleaned = [store.get(step.ref) for step in dag.steps if step.stage == "clean"]
    for name in ("cuts", "rejected"):
        rows = pd.concat([pd.read_parquet(artifact / f"{name}.parquet") for artifact in cleaned])
        _write_csv(rows, out / f"{name}.csv")
    for step in dag.steps:
        if step.stage == "collection":
            _write_csv(pd.read_parquet(store.get(step.ref) / "left_out.parquet"), out / "leaks.csv")
        if step.stage == "catalog":
            problems = pd.read_parquet(store.get(step.ref) / "problems.parquet")
            of_recordings = recording_problems(cleaned)
            _write_csv(pd.concat([problems, of_recordings]), out / "problems.csv")


def card(dag: Dag, store: Store, used: pd.DataFrame, scores: dict[str, Any]) -> str:
    """What whoever gets the models must know of them, in Markdown."""
    teachers = used[used["recording"].str.startswith(OUTSIDE)]
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
            f"- Taught by {teacher['recording'].removeprefix(OUTSIDE)} ({teacher['author']}; "
            f"{teacher['url']}), {teacher['license']}: these models are under its terms."
        )
    lines += ["", "| licence | recordings |", "|---|---|"]
    for licence, count in used["license"].value_counts().items():
        lines.append(f"| {licence or 'unknown'} | {count} |")
    lines += ["", "| model | recordings | validation macro ROC-AUC |", "|---|---|---|"]
    for step in dag.steps:
        if step.stage == "train":
            facts = store.get(step.ref).facts
            auc = "" if facts["auc"] is None else f"{facts['auc']:.4f}"
            lines.append(f"| {step.name} | {facts['trained_on']} | {auc} |")
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
                f"| {name} | {s['macro_auc']:.4f} | {s['macro_auc_low']:.4f} to "
                f"{s['macro_auc_high']:.4f} | {s['cmap']:.4f} | {s['classes_scored']} |"
                for name, s in sorted(scores.items(), key=lambda item: item[0] == ENSEMBLE)
            ),
            "",
        ]
    lines += ["| step | took | facts |", "|---|---|---|"]
    for step in dag.steps:
        if artifact := store.find(step.ref):
            took = f"{artifact.manifest.took_s:.1f} s"
            lines.append(f"| {step.name} | {took} | {facts_text(artifact)} |")
    return "\n".join(lines) + "\n"


def facts_text(artifact: Artifact) -> str:
    return ", ".join(f"{key} {value}" for key, value in artifact.facts.items())


def stage_table(steps: list[Step], store: Store, began: str) -> list[dict[str, Any]]:
    """One row per step that is done: what the UI shows of a stage, for a run that then began."""
    rows = []
    for step in steps:
        if artifact := store.find(step.ref):
            facts = {key: str(value) for key, value in artifact.facts.items()}
            took = f"{artifact.manifest.took_s:.1f} s"
            cached = "cached" if artifact.manifest.made_at < began else "made"
            about = {"step": step.name, "": cached, "key": step.key[:12], "took": took}
            rows.append(about | facts)
    return rows


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.part")
    table.to_csv(temporary, index=False, float_format="%.3f")
    temporary.replace(path)


def _copy_page(report: Artifact, target: Path) -> None:
    """The page with its sounds, unless the one that is there is the same."""
    stamp = f"{report.ref} {report.manifest.made_at}\n"
    mark = target / ".birdflow"
    if mark.is_file() and mark.read_text() == stamp:
        return
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(report.folder, temporary, ignore=shutil.ignore_patterns(MANIFEST))
    (temporary / mark.name).write_text(stamp)
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, temporary)
    temporary.replace(target)
