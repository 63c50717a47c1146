"""From a request to its DAG: what the command line does to plan, and the flow does to run.

Kept apart from both, so that a plan and the run that follows it can't differ.
"""

from pathlib import Path

from birdcore.config import Recipe, read_recipe
from birdcore.sources.birdclef import scan
from birdcore.sources.source import Source, extra_sources
from birdcore.store.run_records import Run, RunRequest
from birdcore.store.runs import record_steps
from birdcore.store.store import Store
from flows.dag import Dag, build_dag


def read_inputs(request: RunRequest, store: Store) -> tuple[Recipe, Source]:
    """The parsed recipe and the recordings that the data folder holds."""
    recipe = read_recipe(Path(request.recipe), request.settings)
    return recipe, scan(Path(request.data), store)


def collection_is_due(recipe: Recipe, source: Source, request: RunRequest) -> bool:
    """Whether recordings have to be searched for or downloaded before the run."""
    if recipe.collects is None:
        return False
    from birdcore.sources.collection import competition_of  # these import an HTTP client
    from birdcore.xeno_canto.selection_state import due

    return due(Path(request.collection), recipe.collects, competition_of(source.metadata))


def requested_dag(
    recipe: Recipe,
    source: Source,
    store: Store,
    request: RunRequest,
    run: Run | None = None,
    *,
    keep_shards: bool,
) -> Dag:
    """All steps of a recipe, on the record of the run that is under way.

    Args:
        recipe: The parsed recipe.
        source: The recordings of the data folder.
        store: Where artifacts are looked for.
        request: Where the collection lies.
        run: The run that makes them; None for a plan.
        keep_shards: Write new shards to the ledger.
    """
    found = extra_sources(recipe, source, Path(request.collection), store)
    dag = build_dag(recipe, source, store, found, keep_shards=keep_shards)
    # On record before the store is searched: from then on no clean-up removes what is found.
    if run is not None:
        record_steps(store, run, dag.steps)
    return dag
