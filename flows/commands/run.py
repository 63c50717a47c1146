"""`birdflow run`, `plan`, `retry` and `demo`: train from a recipe, or say what a run would do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.messages import note_earlier_results, print_results
from flows.options import (
    Collection,
    Data,
    Debug,
    FromStage,
    Only,
    RecipePath,
    Refresh,
    RunName,
    Settings,
    StoreUrl,
    Until,
    Workers,
)
from flows.terminal import doing, ends_on_interrupt, err, out, quiet_prefect

if TYPE_CHECKING:
    from birdcore.config import Recipe
    from birdcore.sources.source import Source
    from birdcore.store.run_records import Run, RunRequest
    from birdcore.store.store import Store
    from flows.dag import Dag
    from flows.plan import Planned


def run(
    recipe: RecipePath,
    *,
    data: Data,
    settings: Settings,
    refresh: Refresh,
    store: StoreUrl = "store",
    collection: Collection = Path("collection"),
    only: Only = None,
    until: Until = None,
    from_stage: FromStage = None,
    results: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Results folder; out/RECIPE by default."),
    ] = None,
    workers: Workers = 0,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Where tasks run: threads, processes, dask[=ADDRESS] or ray[=ADDRESS].".replace(
                "[", "\\["
            ),
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Run a recipe, from recordings to a scored submission."""
    from birdcore.config import find_recipe
    from birdcore.store.run_records import run_request

    target = results or Path("out") / recipe.stem
    request = run_request(
        find_recipe(recipe), data, target, collection, settings, only, from_stage, refresh, until
    )
    execute(request, store, workers=workers, tasks=tasks, debug=debug)


def plan(
    recipe: RecipePath,
    *,
    data: Data,
    settings: Settings,
    refresh: Refresh,
    store: StoreUrl = "store",
    collection: Collection = Path("collection"),
    only: Only = None,
    until: Until = None,
    from_stage: FromStage = None,
    debug: Debug = False,
) -> None:
    """Say which steps a run would make, and why; nothing is made, not even a store."""
    from birdcore.config import find_recipe
    from birdcore.store.location import open_store
    from birdcore.store.run_records import run_request

    request = run_request(
        find_recipe(recipe), data, Path(), collection, settings, only, from_stage, refresh, until
    )
    opened = open_store(store, preview=True)
    parsed, source = read_inputs(request.recipe, request.settings, request.data, opened)
    if _collection_is_due(parsed, source, request):
        out.print("recordings of Xeno-canto are missing; see: birdflow collect --dry-run")
    _, planned = _plan(parsed, source, opened, request)
    table = Table("step", "key", "", "why", box=None, pad_edge=False)
    for item in planned:
        state = "cached" if item.cached else "will run"
        table.add_row(item.step.name, item.step.key[:12], state, item.why)
    out.print(table)
    out.print(_counts(planned))


def retry(
    name: RunName = None, *, store: StoreUrl = "store", workers: Workers = 0, debug: Debug = False
) -> None:
    """Continue a run that failed, was stopped or died, with the arguments that it had."""
    from birdcore.store.runs import run_to_retry
    from birdcore.text import plain_text
    from flows.commands.store import existing_store

    opened = existing_store(store)
    earlier = run_to_retry(opened, name)
    for label, value in _request_lines(earlier, opened.location):
        out.print(f"{label:<11}{plain_text(value)}")
    with suppress(OSError):  # the folder is gone: what depended on it reports that itself
        os.chdir(earlier.cwd or ".")
    execute(earlier.request, opened.location, workers=workers, debug=debug)


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where data and results go.")
    ] = Path("demo"),
    *,
    debug: Debug = False,
) -> None:
    """Generate a small synthetic data set and run the whole pipeline on it."""
    from birdcore.store.run_records import run_request
    from flows.demo import RECIPE, demo_data

    out.print(f"generating synthetic recordings in {folder / 'data'} and {folder / 'archive'}")
    with demo_data(folder) as settings:
        request = run_request(
            RECIPE, folder / "data", folder / "out", folder / "collection", settings
        )
        execute(request, str(folder / "store"), debug=debug)


def execute(
    request: RunRequest,
    location: str,
    *,
    workers: int = 0,
    tasks: str | None = None,
    debug: bool = False,
) -> None:
    """Run what was requested, write its results and print the scores.

    Args:
        request: The recipe, its data and which steps to run.
        location: The store: a folder or a URL.
        workers: Tasks at once; 0 is one per core.
        tasks: Where tasks run (flows/runner.py); None is the default.
        debug: Leave tracebacks in Prefect's console log.
    """
    from birdcore.store.location import open_store
    from birdcore.store.runs import recorded
    from flows.result_folder import refuse_foreign
    from flows.results import write_results
    from flows.selection import lacking

    began = time.monotonic()
    if workers:
        os.environ["BIRDFLOW_WORKERS"] = str(workers)
    if tasks:
        os.environ["BIRDFLOW_TASKS"] = tasks
    store, target = open_store(location), Path(request.out)
    with note_earlier_results(target), recorded(store, request) as begun:
        refuse_foreign(target)
        recipe, source = read_inputs(request.recipe, request.settings, request.data, store)
        if request.only is None and _collection_is_due(recipe, source, request):
            out.print("recordings of Xeno-canto are fetched first")
            scores = _run_flow(request, location, debug=debug)
        else:
            dag, planned = _plan(recipe, source, store, request, begun)
            out.print(_counts(planned))
            if not all(item.cached for item in planned):
                scores = _run_flow(request, location, debug=debug)
            else:
                with doing("writing results"):
                    scores = None if lacking(dag, store) else write_results(dag, store, target)
    print_results(scores, target)
    out.print(f"took     {time.monotonic() - began:.1f} s")


def read_inputs(
    recipe: str | Path, settings: list[str] | tuple[str, ...], data: str | Path, store: Store
) -> tuple[Recipe, Source]:
    """The parsed recipe and the recordings that the data folder holds."""
    with doing(f"reading {data}"):
        from birdcore.config import read_recipe
        from birdcore.sources.birdclef import scan

        return read_recipe(Path(recipe), settings), scan(Path(data), store)


def _run_flow(
    request: RunRequest, location: str, *, debug: bool
) -> dict[str, dict[str, float]] | None:
    from birdcore.store.location import local_folder

    quiet_prefect(debug)
    with ends_on_interrupt(), ExitStack() as stack:
        with doing("starting Prefect"):
            from flows.server import server, ui_of

            url = stack.enter_context(server(local_folder(location)))
            from prefect import tags

            from flows.pipeline import pipeline
            from tasks.progress import bars_on_terminal
        later = f"make ui STORE={quote(location)}"
        out.print(f"UI       {ui_of(url)} while this runs; later: {later}")
        with tags("birdflow"), bars_on_terminal() if err.is_terminal else nullcontext():
            scores: dict[str, dict[str, float]] = pipeline(store=location, **asdict(request))
            return scores


def _collection_is_due(recipe: Recipe, source: Source, request: RunRequest) -> bool:
    """Whether recordings have to be searched for or downloaded before the run."""
    if recipe.collects is None:
        return False
    from birdcore.sources.collection import competition_of
    from birdcore.xeno_canto.selection_state import due

    return due(Path(request.collection), recipe.collects, competition_of(source.metadata))


def _plan(
    recipe: Recipe, source: Source, store: Store, request: RunRequest, begun: Run | None = None
) -> tuple[Dag, list[Planned]]:
    """The DAG and the state of its steps; prints the notes that a user needs before a run.

    Args:
        recipe: The parsed recipe.
        source: The recordings of the data folder.
        store: Where artifacts are looked for.
        request: Which steps to run.
        begun: The run's record, where a run has begun.
    """
    with doing("planning"):  # the imports alone may take seconds
        from birdcore.sources.source import extra_sources
        from birdcore.store.runs import record_steps, unfinished_since
        from flows.dag import build_dag
        from flows.plan import plan
        from flows.problems import notes
        from flows.selection import select

        found = extra_sources(recipe, source, Path(request.collection), store)
        dag = build_dag(recipe, source, store, found, keep_shards=False)
        # On record before the store is searched: from then on no clean-up removes what is found.
        if begun is not None:
            record_steps(store, begun, dag.steps)
        since = unfinished_since(store, request, begun)
    for note in notes(dag.problems):
        err.print(f"note: {note}")
    with doing("looking for cached steps"):
        selected = select(dag, store, request, since)
        planned = plan(selected, store)
    for note in selected.notes:
        out.print(f"note     {note}")
    return dag, planned


def _counts(planned: list[Planned]) -> str:
    cached = sum(item.cached for item in planned)
    return f"{len(planned)} steps, {cached} cached, {len(planned) - cached} to run"


def _request_lines(run: Run, location: str) -> Iterator[tuple[str, str]]:
    """What a run was asked for, as lines of a label and a value."""
    request = run.request
    yield "retry of", f"{run.name}, which {run.state}"
    for name, place in (("recipe", request.recipe), ("data", request.data), ("out", request.out)):
        yield name, str(Path(place).absolute())
    yield "collection", str(Path(request.collection).absolute())
    yield "store", location
    yield from (("set", setting) for setting in request.settings)
    yield from [("only", request.only)] if request.only else []
    yield from [("until", request.until)] if request.until else []
    yield from [("from", request.from_stage)] if request.from_stage else []
    yield from (("refresh", what) for what in request.refresh)
