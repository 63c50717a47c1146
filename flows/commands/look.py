"""`birdflow status`, `lineage` and `ui`: look at runs and artifacts."""

from typing import Annotated

import typer

from flows.commands.store import existing_store
from flows.options import ArtifactName, Debug, RunName, StoreUrl
from flows.terminal import doing, out


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
