"""From a request to its DAG: what the command line does to plan, and the flow does to run.

Kept apart from both, so that a plan and the run that follows it can't differ.
"""

from dataclasses import replace
from pathlib import Path

from birdcore.config import Criteria, Recipe, read_recipe
from birdcore.config.without_soundscapes import without_soundscapes
from birdcore.csv_table import Problem
from birdcore.sources.data_folder import read_data
from birdcore.sources.further import further_sources
from birdcore.sources.soundscapes import NO_TEST
from birdcore.sources.source import Source, extra_sources
from birdcore.sources.stand_ins import with_stand_ins
from birdcore.store.run_records import Run, RunRequest
from birdcore.store.runs import record_steps
from birdcore.store.store import Store
from flows.dag import Dag, build_dag

NO_SOUNDSCAPE = "no unlabelled soundscape"
OTHERWISE = (NO_TEST, NO_SOUNDSCAPE)
"""Problems that say what a run does otherwise than it was asked to."""


def read_inputs(request: RunRequest, store: Store) -> tuple[Recipe, Source]:
    """The recipe and the recordings of the data folder, as far as they fit each other.

    What of the recipe the folder has no recordings for is left out, and an empty test set is stood
    in for; the source's problems say so.
    """
    recipe = read_recipe(Path(request.recipe), request.settings)
    return fitted(recipe, read_data(Path(request.data), store, recipe))


def fitted(recipe: Recipe, source: Source) -> tuple[Recipe, Source]:
    """A recipe without what a source has no soundscapes for; see `read_inputs`."""
    source = with_stand_ins(source)
    soundscapes = source.subset("unlabelled")
    if soundscapes.files:
        return recipe, source
    annotated = bool(source.subset("annotated").files)
    recipe, asides = without_soundscapes(recipe, annotated=annotated)
    folder = source.root if source.layout else source.root / soundscapes.name
    none = f"and none in {folder} are unlabelled"
    said = tuple(Problem(NO_SOUNDSCAPE, where, f"{what}, {none}") for where, what in asides)
    return recipe, replace(source, problems=(*source.problems, *said))


def archives_of(recipe: Recipe, path: str) -> tuple[Criteria, ...]:
    """What a recipe selects of public archives; raises ValueError where that is nothing."""
    if not recipe.archives:
        raise ValueError(
            f"{path} has no table [xeno_canto] or [inaturalist], which select the recordings to "
            "download"
        )
    return recipe.archives


def collection_is_due(recipe: Recipe, source: Source, request: RunRequest) -> bool:
    """Whether recordings have to be searched for or downloaded before the run."""
    if not recipe.collects:
        return False
    from birdcore.archives.folder import folder_of
    from birdcore.archives.selection_state import due
    from birdcore.sources.collection import competition_of  # these import an HTTP client

    return any(
        due(
            folder_of(Path(request.collection), criteria.table),
            criteria,
            competition_of(source.metadata, criteria),
        )
        for criteria in recipe.collects
    )


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
    further = further_sources(recipe, source, store)
    dag = build_dag(recipe, source, store, found, further, keep_shards=keep_shards)
    # On record before the store is searched: from then on no clean-up removes what is found.
    if run is not None:
        record_steps(store, run, dag.steps)
    return dag
