"""Run a request from the command line: plan it, start Prefect where a step is due, print results.

A run whose steps are all cached starts neither a server nor Prefect.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from flows.messages import note_earlier_results, print_results
from flows.terminal import doing, ends_on_interrupt, err, out, quiet_prefect

if TYPE_CHECKING:
    from birdcore.config import Recipe
    from birdcore.sources.source import Source
    from birdcore.store.run_records import Run, RunRequest
    from birdcore.store.store import Store
    from flows.dag import Dag
    from flows.plan import Planned


def existing_recipe(recipe: Path) -> Path:
    """The file of a recipe that is there, so that no store is made for a name that was mistyped.

    Raises:
        RecipeError: There is none; the message names the recipes that there are.
    """
    from birdcore.config import find_recipe, read_recipe

    found = find_recipe(recipe)
    if not found.is_file():
        read_recipe(found)  # raises that message
    return found


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
    from flows.results import other_settings, write_results
    from flows.selection import lacking

    began = time.monotonic()
    if workers:
        os.environ["BIRDFLOW_WORKERS"] = str(workers)
    if tasks:
        os.environ["BIRDFLOW_TASKS"] = tasks
    store, target = open_store(location), Path(request.out)
    with note_earlier_results(target), recorded(store, request) as begun:
        refuse_foreign(target)
        with doing(f"reading {request.data}"):
            from flows.request import collection_is_due, read_inputs

            recipe, source = read_inputs(request, store)
        if note := other_settings(recipe, target):
            err.print(f"note: {note}")
        collects = request.only is None and collection_is_due(recipe, source, request)
        if collects:
            titles = " and ".join(criteria.title for criteria in recipe.collects)
            out.print(f"recordings of {titles} are fetched first")
        else:
            dag, planned = make_plan(recipe, source, store, request, begun)
            out.print(count_steps(planned))
        if collects or not all(item.cached for item in planned):
            later = f"; later: make ui STORE={quote(location)}"
            with prefect_session(location, later, debug=debug):
                from prefect import tags

                from flows.pipeline import pipeline

                with tags("birdflow"):
                    scores = pipeline(store=location, **asdict(request))
        else:
            with doing("writing results"):
                scores = None if lacking(dag, store) else write_results(dag, store, target)
    print_results(scores, target)
    out.print(f"took     {time.monotonic() - began:.1f} s")


@contextmanager
def prefect_session(location: str, later: str = "", *, debug: bool) -> Iterator[None]:
    """A Prefect server for the flows of one command, which Ctrl-C ends in good order.

    Args:
        location: The store that the server belongs to.
        later: What to print behind the address of the UI.
        debug: Leave tracebacks in Prefect's console log.
    """
    from birdcore.store.location import local_folder

    quiet_prefect(debug)
    with ends_on_interrupt(), ExitStack() as stack:
        with doing("starting Prefect"):
            from flows.server import server, ui_of

            url = stack.enter_context(server(local_folder(location)))
            import flows.pipeline  # noqa: F401 - takes seconds, so it is imported in here
            from tasks.progress import bars_on_terminal
        out.print(f"UI       {ui_of(url)} while this runs{later}")
        if err.is_terminal:
            stack.enter_context(bars_on_terminal())
        yield


def make_plan(
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
        from birdcore.store.runs import unfinished_since
        from flows.plan import plan
        from flows.problems import notes
        from flows.request import requested_dag
        from flows.selection import select

        dag = requested_dag(recipe, source, store, request, begun, keep_shards=False)
        since = unfinished_since(store, request, begun)
    for note in notes(dag.problems):
        err.print(f"note: {note}")
    with doing("looking for cached steps"):
        selection = select(dag, store, request, since)
        planned = plan(selection, store)
    for note in selection.notes:
        out.print(f"note     {note}")
    return dag, planned


def count_steps(planned: Sequence[Planned]) -> str:
    """How many steps of a plan are cached, and how many will run."""
    cached = sum(item.cached for item in planned)
    return f"{len(planned)} steps, {cached} cached, {len(planned) - cached} to run"
