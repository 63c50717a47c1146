"""The whole pipeline as one Prefect flow: the DAG's steps, each as the task of its stage."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture, wait
from prefect.runtime import deployment, flow_run

from birdcore.config import find_recipe
from birdcore.stages.table import STAGES
from birdcore.store.artifact import Ref
from birdcore.store.location import open_store
from birdcore.store.remote import RemoteError, RemoteUnavailable
from birdcore.store.run_records import Run, RunRequest, run_request
from birdcore.store.runs import RunFailed, recorded, unfinished_since
from birdcore.store.store import Store
from flows.backbones import prepare_backbones
from flows.collect import CollectFailed, collect
from flows.dag import Dag
from flows.messages import failure_of
from flows.problems import notes, write_problems
from flows.request import collection_is_due, read_inputs, requested_dag
from flows.result_folder import refuse_foreign
from flows.results import other_settings, write_results
from flows.run_lock import lock_store, refused
from flows.runner import task_runner, threads
from flows.selection import Selection, lacking, select
from flows.ui_artifacts import show_results, show_stages
from tasks.stage import StageTask, in_store, stage_task
from tasks.stop import end_with_starter, report_crash, stopping
from tasks.train import train

TASKS: dict[str, StageTask] = {name: stage_task(name) for name in STAGES} | {"train": train}


def _title() -> str:
    """The run's name in the UI: its recipe, and what differs from it."""
    given = dict(flow_run.parameters)
    given.pop("store")
    return run_request(**given).title


@flow(
    name="pipeline",
    flow_run_name=_title,
    task_runner=task_runner(),
)
def pipeline(
    recipe: str,
    data: str,
    store: str = "store",
    out: str = "out",
    settings: list[str] = [],  # noqa: B006
    collection: str = "collection",
    only: str | None = None,
    until: str | None = None,
    from_stage: str | None = None,
    refresh: list[str] = [],  # noqa: B006
) -> Any:
    """Recordings to submission: run what is not in the store, write results, return the scores.

    A run of a deployment is refused (a cancelled state named Refused) while another one of any
    deployment has the store. Prefect's forms show what stands here of each parameter.

    Args:
        recipe: A TOML file, or the name of one of birdflow's own recipes.
        data: A BirdCLEF+ folder.
        store: Folder of the artifact store, or the URL of one that machines share.
        out: Folder for submission, scores and tables.
        settings: KEY=VALUE over the recipe's own, such as seed=1.
        collection: Folder of recordings of public archives.
        only: Run what is missing of this stage alone.
        until: Run this stage and all that it needs.
        from_stage: This stage and what follows it, made again.
        refresh: STAGE or STAGE:SHARD, made again, such as mel:0003.
    """
    if deployment.id:
        end_with_starter(lambda: report_crash(flow_run.id))
    request = run_request(
        find_recipe(recipe), data, out, collection, settings, only, from_stage, refresh, until
    )
    opened = open_store(store)
    with (
        lock_store(opened, request.title, flow_run.id) if deployment.id else nullcontext() as holder
    ):
        if holder is not None:
            return refused(opened, holder)
        with recorded(opened, request, flow_run=flow_run.id) as run:
            return _run(request, opened, run)


def _run(request: RunRequest, store: Store, run: Run) -> dict[str, Any] | None:
    """All of a run but its record; returns the scores, None where there are no results yet."""
    out = Path(request.out)
    refuse_foreign(out)
    recipe, source = read_inputs(request, store)
    if request.only is None and collection_is_due(recipe, source, request):
        try:
            collect(request.recipe, request.data, request.collection, list(request.settings))
        except CollectFailed as error:
            if collection_is_due(recipe, source, request):
                raise  # something was never tried
            get_run_logger().warning("goes on without some recordings: %s", error)
    dag = requested_dag(recipe, source, store, request, run, keep_shards=True)
    write_problems(dag, store, out)
    told = [*notes(dag.problems), *filter(None, [other_settings(recipe, out)])]
    for note in told if deployment.id else ():  # a person was told
        get_run_logger().warning("%s", note)
    began = unfinished_since(store, request, run)
    selection = select(dag, store, request, began)
    for note in selection.notes:
        get_run_logger().info("%s", note)
    prepare_backbones(recipe, dag, selection.steps, store)
    try:
        run_steps(selection, store)
    except RunFailed:
        with suppress(RemoteUnavailable, RemoteError):
            _results(dag, store, out)  # of a run whose page or score alone failed
        raise
    finally:  # a server, remote or disk that is away hides no error
        with suppress(OSError):
            write_problems(dag, store, out)
        with suppress(httpx.TransportError, RemoteUnavailable, RemoteError):
            show_stages(dag, store, run)
    return _results(dag, store, out)


def _results(dag: Dag, store: Store, out: Path) -> dict[str, Any] | None:
    """The scores, or None where a part of the recipe was never run."""
    if unmade := lacking(dag, store):
        get_run_logger().info(
            "no results yet: %d of %d steps are not in the store, the first is %s",
            len(unmade), len(dag.steps), unmade[0].name,
        )  # fmt: skip
        return None
    scores = write_results(dag, store, out)
    show_results(dag, store, out)
    return scores


def run_steps(selection: Selection, store: Store) -> None:
    """Submit every step, each after what it reads; raises RunFailed with the reasons."""
    futures: dict[Ref, PrefectFuture[Ref]] = {}
    stopping.clear()
    try:
        for step in selection.steps:
            inputs = [futures[ref] for ref in step.reads if ref in futures]
            rebuild = step.ref in selection.rebuild
            task = in_store(TASKS[step.stage], store.location, refresh=rebuild)
            futures[step.ref] = task.submit(  # type: ignore[call-overload]
                step, store.location, rebuild, threads(), wait_for=inputs
            )
        wait(list(futures.values()))
    except BaseException:  # Ctrl-C, and SIGTERM of a worker that cancels the flow
        stopping.set()
        raise
    states = {step.name: futures[step.ref].state for step in selection.steps}
    reasons = {name: failure_of(state) for name, state in states.items()}
    if failed := {name: why for name, why in reasons.items() if why is not None}:
        raise RunFailed(failed)
