"""`birdflow run`, `plan`, `retry` and `demo`: train from a recipe, or say what a run would do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.commands.execute import count_steps, execute, existing_recipe, make_plan
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
from flows.terminal import doing, out

if TYPE_CHECKING:
    from birdcore.store.run_records import Run


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
            help=r"Where tasks run: threads, processes, dask\[=ADDRESS] or ray\[=ADDRESS].",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Run a recipe, from recordings to a scored submission."""
    from birdcore.store.run_records import run_request

    target = results or Path("out") / recipe.stem
    request = run_request(
        existing_recipe(recipe),
        data,
        target,
        collection,
        settings,
        only,
        from_stage,
        refresh,
        until,
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
    from birdcore.store.location import open_store
    from birdcore.store.run_records import run_request

    request = run_request(
        existing_recipe(recipe),
        data,
        Path(),
        collection,
        settings,
        only,
        from_stage,
        refresh,
        until,
    )
    opened = open_store(store, preview=True)
    with doing(f"reading {data}"):
        from flows.request import collection_is_due, read_inputs

        parsed, source = read_inputs(request, opened)
    if collection_is_due(parsed, source, request):
        titles = " and ".join(criteria.title for criteria in parsed.collects)
        out.print(f"recordings of {titles} are missing; see: birdflow collect --dry-run")
    _, planned = make_plan(parsed, source, opened, request)
    table = Table("step", "key", "", "why", box=None, pad_edge=False)
    for item in planned:
        state = "cached" if item.cached else "will run"
        table.add_row(item.step.name, item.step.key[:12], state, item.why)
    out.print(table)
    out.print(count_steps(planned))


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


def _request_lines(run: Run, location: str) -> Iterator[tuple[str, str]]:
    """The request of a run, as lines of a label and a value."""
    request = run.request
    yield "retry of", f"{run.name}, which {run.state}"
    for name in ("recipe", "data", "out", "collection"):
        yield name, str(Path(getattr(request, name)).absolute())
    yield "store", location
    given: list[tuple[str, str | None]] = [("set", setting) for setting in request.settings]
    given += [("only", request.only), ("until", request.until), ("from", request.from_stage)]
    given += [("refresh", what) for what in request.refresh]
    yield from ((name, value) for name, value in given if value)
