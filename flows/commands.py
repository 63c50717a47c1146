"""What each `birdflow` command does, and what it says.

Imports are inside of the commands, so that `birdflow plan` and a cached run need no Prefect.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.table import Table

from flows.messages import earlier_results_told, say_results
from flows.terminal import ends_on_interrupt, err, out, quiet_prefect

if TYPE_CHECKING:
    from birdcore.store.runs import Run, RunRequest
    from birdcore.store.store import Store


def do_run(options: argparse.Namespace) -> None:
    run_asked(_asked(options, options.out or Path("out") / options.recipe.stem), options)


def run_asked(request: RunRequest, options: argparse.Namespace) -> None:
    """Run what is asked for; `options` say in which store, how many tasks at once and where."""
    from birdcore.store.location import open_store
    from birdcore.store.runs import recorded
    from flows.result_folder import refuse_foreign
    from flows.results import write_results
    from flows.selection import lacking

    began = time.monotonic()
    if options.workers:
        os.environ["BIRDFLOW_WORKERS"] = str(options.workers)
    if options.tasks:
        os.environ["BIRDFLOW_TASKS"] = options.tasks
    store, target = open_store(options.store), Path(request.out)
    with earlier_results_told(target), recorded(store, request) as run:
        refuse_foreign(target)
        recipe, source = _read(request.recipe, request.settings, request.data, store)
        if _is_due(recipe, source, request) and request.only is None:
            out.print("first there are recordings to be had of Xeno-canto")
            scores = _run_flow(options, request)
        else:
            dag, planned = _planned(recipe, source, store, request, run)
            out.print(_counts(planned))
            if not all(p.cached for p in planned):
                scores = _run_flow(options, request)
            else:
                scores = None if lacking(dag, store) else write_results(dag, store, target)
    say_results(scores, target)
    out.print(f"took     {time.monotonic() - began:.1f} s")


def _asked(options: argparse.Namespace, target: Path) -> RunRequest:
    from birdcore.store.runs import run_request

    return run_request(
        options.recipe, options.data, target, options.collection, options.set,
        options.only, options.from_stage, options.refresh,
    )  # fmt: skip


def _run_flow(
    options: argparse.Namespace, request: RunRequest
) -> dict[str, dict[str, float]] | None:
    from birdcore.store.location import local_folder
    from flows.server import server, ui_of

    quiet_prefect(options.debug)
    with ends_on_interrupt(), server(local_folder(options.store)) as url:
        later = f"make ui STORE={quote(options.store)}"
        out.print(f"UI       {ui_of(url)} while this runs; later: {later}")
        from prefect import tags

        from flows.pipeline import pipeline
        from tasks.progress import bars_on_terminal

        with tags("birdflow"), bars_on_terminal() if err.is_terminal else nullcontext():
            scores: dict[str, dict[str, float]] = pipeline(store=options.store, **asdict(request))
            return scores


def do_status(options: argparse.Namespace) -> None:
    from flows.retry import status

    status(options)


def do_retry(options: argparse.Namespace) -> None:
    from flows.retry import retry

    retry(options)


def do_collect(options: argparse.Namespace) -> None:
    from birdcore.store.location import local_folder, open_store
    from flows.server import server, ui_of

    store = open_store(options.store)
    recipe, source = _read(options.recipe, options.set, options.data, store)
    if recipe.xeno_canto is None:
        raise ValueError(f"{options.recipe} has no table [xeno_canto]: it says not what to collect")
    if options.dry_run:
        from flows.dry_run import dry_run

        out.print(dry_run(recipe.xeno_canto, source.csv, options.collection))
        return
    quiet_prefect(options.debug)
    with ends_on_interrupt(), server(local_folder(options.store)) as url:
        out.print(f"UI       {ui_of(url)} while this runs")
        from flows.collect import collect
        from tasks.progress import bars_on_terminal

        with bars_on_terminal() if err.is_terminal else nullcontext():
            came = collect(
                str(options.recipe), str(options.data), str(options.collection), options.set
            )
    for name, count in came.items():
        out.print(f"{name:<10}{count}")


def do_archive(options: argparse.Namespace) -> None:
    from birdcore.demo.archive import serve_archive

    serve_archive(options.dir, port=options.port, fault_rate=options.faults)


def _read(recipe, settings, data, store: Store):  # type: ignore[no-untyped-def]
    from birdcore.config import read_recipe
    from birdcore.sources.birdclef import scan

    return read_recipe(Path(recipe), settings), scan(Path(data), store)


def store_there(location: str) -> Store:
    from birdcore.store.location import is_url, open_store

    if not is_url(location) and not (Path(location) / "store.json").is_file():  # it would be made
        raise ValueError(f"{location} is no store: say with --store where it is")
    return open_store(location, make=False)


def _is_due(recipe, source, request: RunRequest) -> bool:  # type: ignore[no-untyped-def]
    if recipe.collects is None:
        return False
    from birdcore.sources.collection import competition_of
    from birdcore.xeno_canto.selection_state import due

    return due(Path(request.collection), recipe.collects, competition_of(source.csv))


def _planned(  # type: ignore[no-untyped-def]
    recipe, source, store: Store, request: RunRequest, run: Run | None = None
):
    """The DAG, and what of it will run; says what a person should know before."""
    from birdcore.store.runs import needs, unfinished_since
    from flows.dag import build_dag, gathered
    from flows.plan import plan
    from flows.problems import notes
    from flows.selection import select

    found = gathered(recipe, source, Path(request.collection))
    dag = build_dag(recipe, source, store, found, keep_shards=False)
    for note in notes(dag.problems):
        err.print(f"note: {note}")
    if run is not None:  # before anybody looks for what is there already
        needs(store, run, dag.steps)
    began = unfinished_since(store, request, run)
    chosen = select(dag, store, request, began)
    for note in chosen.notes:
        out.print(f"note     {note}")
    return dag, plan(chosen, store)


def do_plan(options: argparse.Namespace) -> None:
    from birdcore.store.location import open_store

    request, store = _asked(options, Path()), open_store(options.store)
    recipe, source = _read(request.recipe, request.settings, request.data, store)
    if _is_due(recipe, source, request):
        out.print("first there are recordings to be had of Xeno-canto: birdflow collect --dry-run")
    _, planned = _planned(recipe, source, store, request)
    table = Table("step", "key", "", "why", box=None, pad_edge=False)
    for one in planned:
        state = "cached" if one.cached else "will run"
        table.add_row(one.step.name, one.step.key[:12], state, one.why)
    out.print(table)
    out.print(_counts(planned))


def _counts(planned) -> str:  # type: ignore[no-untyped-def]
    cached = sum(p.cached for p in planned)
    return f"{len(planned)} steps, {cached} cached, {len(planned) - cached} to run"


def do_lineage(options: argparse.Namespace) -> None:
    from birdcore.config.round import LABEL_DEFAULTS
    from birdcore.store.provenance import format_provenance, provenance_tree
    from flows.lineage import find_artifact

    store = store_there(options.store)
    tree = provenance_tree(store, find_artifact(store, options.artifact), LABEL_DEFAULTS)
    text = format_provenance(tree)
    out.print(text, end="")


def do_store(options: argparse.Namespace) -> int | None:
    from flows.store_commands import COMMANDS

    return COMMANDS[options.part](store_there(options.store), options)


def do_score(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    import numpy as np

    from birdcore.metrics import score_files
    from birdcore.stages.score import ENSEMBLE
    from flows.results import not_scored

    scores = score_files(
        options.submission,
        options.truth,
        generator=np.random.default_rng(0),
        rounds=options.bootstrap,
    )
    out.print(
        f"macro ROC-AUC {scores.macro_auc:.6f} (95 % interval {scores.macro_auc_low:.4f} to "
        f"{scores.macro_auc_high:.4f}), cmAP {scores.cmap:.6f}, "
        f"{scores.classes_scored} classes, {scores.rows} rows"
    )
    for line in not_scored({ENSEMBLE: asdict(scores)}, why=""):
        err.print(line)


def do_demo(options: argparse.Namespace) -> None:
    from birdcore.store.runs import run_request
    from flows.demo import RECIPE, demo

    home, options.store = options.dir, str(options.dir / "store")
    options.workers, options.tasks = 0, None
    out.print(f"made-up birds sing into {home / 'data'} and {home / 'archive'}")
    with demo(home) as settings:
        request = run_request(RECIPE, home / "data", home / "out", home / "collection", settings)
        run_asked(request, options)


def do_ui(options: argparse.Namespace) -> None:
    from birdcore.store.location import local_folder
    from flows.ui import serve_ui

    serve_ui(local_folder(options.store), options.port, set_up_only=options.set_up_only)
