"""`birdflow status`, `lineage`, `score` and `ui`: look at runs, artifacts and submissions."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.store import existing_store
from flows.options import ArtifactName, Debug, RunName, StoreUrl
from flows.terminal import doing, err, out


def status(
    name: RunName = None,
    *,
    store: StoreUrl = "store",
    last: Annotated[int, typer.Option(metavar="N", help="Number of runs to list.")] = 5,
    debug: Debug = False,
) -> None:
    """List the last runs of a store, and the steps and failures of one of them."""
    from birdcore.store.runs import run_named, runs
    from birdcore.text import plain_text
    from flows.status import failures, last_runs, running_first, stages

    opened = existing_store(store)
    with doing("reading the records of runs"):
        known = running_first(runs(opened))
        table = last_runs(opened, known[:last])
    out.print(table)
    run = run_named(opened, name) if name or not known else known[0]
    out.print(f"\n{plain_text(run.name)}: {plain_text(run.request.title)}")
    if run.steps:
        out.print(stages(opened, run))
    out.print(failures(opened, run), end="")


def lineage(artifact: ArtifactName, *, store: StoreUrl = "store", debug: Debug = False) -> None:
    """Say what an artifact was made from, down to recordings."""
    from birdcore.config.round import LABEL_DEFAULTS
    from birdcore.stages.table import STAGES
    from birdcore.store.provenance import format_provenance, provenance_tree
    from flows.lineage import find_artifact

    opened = existing_store(store)
    with doing(f"looking for {artifact}"):
        text = format_provenance(
            provenance_tree(opened, find_artifact(opened, artifact), STAGES, LABEL_DEFAULTS)
        )
    out.print(text, end="")


def score(
    submission: Annotated[Path, typer.Argument(help="A submission.csv.", show_default=False)],
    truth: Annotated[
        Path, typer.Argument(help="A CSV file with the true labels.", show_default=False)
    ],
    *,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", help="Bootstrap samples of the interval.")
    ] = 1000,
    debug: Debug = False,
) -> None:
    """Score a submission against true labels."""
    from dataclasses import asdict

    import numpy as np

    from birdcore.metrics import score_files
    from birdcore.stages.score import ENSEMBLE
    from flows.results import not_scored

    with doing("scoring"):
        scores = score_files(
            submission, truth, generator=np.random.default_rng(0), rounds=bootstrap
        )
    out.print(
        f"macro ROC-AUC {scores.macro_auc:.6f} (95 % interval {scores.macro_auc_low:.4f} to "
        f"{scores.macro_auc_high:.4f}), cmAP {scores.cmap:.6f}, "
        f"{scores.classes_scored} classes, {scores.rows} rows"
    )
    for line in not_scored({ENSEMBLE: asdict(scores)}, why=""):
        err.print(line)


def ui(
    store: StoreUrl = "store",
    port: Annotated[int, typer.Option(help="Port of the page on 127.0.0.1.")] = 4200,
    set_up_only: Annotated[
        bool,
        typer.Option(
            "--set-up-only",
            help="Only register deployments, work pools and automations; start no worker.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a Prefect server with its workers and deployments on loopback until Ctrl-C."""
    from birdcore.store.location import local_folder
    from flows.ui import serve_ui

    serve_ui(local_folder(store), port, set_up_only=set_up_only)
