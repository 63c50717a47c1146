"""What the Prefect UI shows of a run beside states and logs: tables, ladder, lineage, links."""

import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
from prefect import get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from birdcore.store.artifact import Artifact, Step
from birdcore.store.run_records import Run
from birdcore.store.store import Store
from birdcore.text import plain_text
from birdcore.training.records import read_history
from flows.dag import Dag
from flows.results import stage_table

HISTORY_EPOCHS = 200
"""Rows that the table of a training shows, the last ones."""
NO_LABEL = re.compile(r"[\"`<>#;&]")
"""What ends or changes a label of Mermaid."""


def show_stages(dag: Dag, store: Store, run: Run) -> None:
    """A table per stage of what there is, also of a run that failed, and of what was rejected."""
    for stage in dag.stages:
        steps = dag.of(stage)
        if rows := stage_table(steps, store, run.began):
            about = f"{len(rows)} of {len(steps)} steps of {stage}"
            create_table_artifact(rows, key=artifact_key(stage), description=about)
    rejected = [
        {str(column): plain_text(str(value)) for column, value in row.items()}
        for _, artifact in dag.made("clean", store)
        for row in pd.read_parquet(artifact / "rejected.parquet").to_dict("records")
    ]
    if rejected:
        about = f"{len(rejected)} recordings rejected, with reasons"
        create_table_artifact(rejected, key="rejected", description=about)
    done = sum(store.find(step.ref) is not None for step in dag.steps)
    get_run_logger().info("%d of %d steps are in the store", done, len(dag.steps))


def show_results(dag: Dag, store: Store, out: Path) -> None:
    """The ladder of rounds, how each model learnt, what was made of what, and where it all is."""
    create_markdown_artifact((out / "summary.md").read_text(), key="summary")
    create_markdown_artifact(f"```mermaid\n{mermaid(dag)}\n```", key="lineage")
    for step in dag.trained:
        if store.find(step.ref) is None:
            continue
        model, key = store.get(step.ref), artifact_key(f"learnt {step.name}")
        create_table_artifact(_learnt(model), key=key, description=f"{step.name}, by epoch")
    page = out / "report" / "index.html"
    if page.exists():
        create_link_artifact(page.resolve().as_uri(), link_text="report", key="report")


def artifact_key(name: str) -> str:
    """A name as Prefect takes it for an artifact: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _learnt(model: Artifact) -> list[dict[str, str]]:
    rows = read_history(model.folder)[-HISTORY_EPOCHS:]
    keys = ("epoch", "loss", "auc", "learning_rate")
    return [{key: json.dumps(row[key]) for key in keys if key in row} for row in rows]


def mermaid(dag: Dag) -> str:
    """The DAG by stage, rounds apart, with the number of their steps: a drawing in Mermaid."""
    kind_of = {step.ref: _kind(step) for step in dag.steps}
    counts = Counter(kind_of.values())
    names = {kind: f"n{at}" for at, kind in enumerate(counts)}
    lines = ["graph LR"]
    for kind, count in counts.items():
        lines.append(f'  {names[kind]}["{kind}{f" × {count}" if count > 1 else ""}"]')
    pairs = ((kind_of[ref], kind_of[step.ref]) for step in dag.steps for ref in step.reads)
    arrows = dict.fromkeys(pairs)
    lines += [f"  {names[one]} --> {names[other]}" for one, other in arrows]
    return "\n".join(lines)


def _kind(step: Step) -> str:
    """A step's stage, and its round or kind of recordings where it has one."""
    words = step.name.split()
    kind = " ".join([step.stage, *(word.partition("/")[0] for word in words[1:2])])
    return NO_LABEL.sub("'", plain_text(kind))
