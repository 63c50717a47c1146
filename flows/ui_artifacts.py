"""What the Prefect UI shows of a run beside states and logs: tables, ladder, lineage, links."""

import json
import re
from collections import Counter, defaultdict
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
    of_stage: dict[str, list[Step]] = defaultdict(list)
    for step in dag.steps:
        of_stage[step.stage].append(step)
    for stage, steps in of_stage.items():
        rows = stage_table(steps, store, run.began)
        if rows:
            about = f"{len(rows)} of {len(steps)} steps of {stage}"
            create_table_artifact(rows, key=stage, description=about)
    rejected = [row for step in of_stage["clean"] for row in _rejected(step, store)]
    if rejected:
        about = f"{len(rejected)} recordings rejected, with reasons"
        create_table_artifact(rejected, key="rejected", description=about)
    done = sum(store.find(step.ref) is not None for step in dag.steps)
    get_run_logger().info("%d of %d steps are in the store", done, len(dag.steps))


def show_results(dag: Dag, store: Store, out: Path) -> None:
    """The ladder of rounds, how each model learnt, what was made of what, and where it all is."""
    create_markdown_artifact((out / "summary.md").read_text(), key="summary")
    create_markdown_artifact(f"```mermaid\n{mermaid(dag)}\n```", key="lineage")
    for step in dag.steps:
        if step.stage == "train":
            rows = _learnt(store.get(step.ref))
            key = re.sub(r"[^a-z0-9]+", "-", f"learnt {step.name}".lower())
            create_table_artifact(rows, key=key, description=f"{step.name}, by epoch")
    page = out / "report" / "index.html"
    if page.exists():
        create_link_artifact(page.resolve().as_uri(), link_text="report", key="report")


def _rejected(step: Step, store: Store) -> list[dict[str, str]]:
    if store.find(step.ref) is None:
        return []
    table = pd.read_parquet(store.get(step.ref) / "rejected.parquet").astype(str)
    rows = table.to_dict("records")
    return [{str(k): plain_text(v) for k, v in row.items()} for row in rows]


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
    arrows = {
        (kind_of[ref], kind_of[step.ref]): None
        for step in dag.steps
        for refs in step.inputs.values()
        for ref in refs
    }
    lines += [f"  {names[one]} --> {names[other]}" for one, other in arrows]
    return "\n".join(lines)


def _kind(step: Step) -> str:
    """A step's stage, and its round or kind of recordings where it has one."""
    words = step.name.split()
    kind = " ".join([step.stage, *(word.partition("/")[0] for word in words[1:2])])
    return NO_LABEL.sub("'", plain_text(kind))
