"""The whole pipeline as one Prefect flow: the DAG's steps, each as the task of its stage."""

import os
from pathlib import Path
from typing import Annotated, Any

import torch
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from birdcore.artifact import Ref
from birdcore.catalog.source import scan
from birdcore.collect.selection import competition_of
from birdcore.collect.wanted import due
from birdcore.model.backbone import build_backbone
from birdcore.recipe import Recipe, read_recipe
from birdcore.store import Store
from flows.collect import CollectFailed, collect
from flows.dag import Dag, build_dag, gathered
from flows.plain import plain
from flows.results import stage_table, write_results
from tasks.catalog import catalog
from tasks.clean import clean
from tasks.collection import collection as collection_task
from tasks.ensemble import ensemble
from tasks.fingerprint import fingerprint
from tasks.folds import folds
from tasks.label import label
from tasks.leaks import leaks
from tasks.mel import mel
from tasks.outside import outside
from tasks.predict import predict
from tasks.score import score
from tasks.stage import StageTask, in_store
from tasks.stop import stopping
from tasks.submission import submission
from tasks.train import train

STAGES: dict[str, StageTask] = {
    "catalog": catalog,
    "clean": clean,
    "mel": mel,
    "fingerprint": fingerprint,
    "leaks": leaks,
    "collection": collection_task,
    "folds": folds,
    "outside": outside,
    "train": train,
    "label": label,
    "ensemble": ensemble,
    "predict": predict,
    "submission": submission,
    "score": score,
}


class PipelineFailed(RuntimeError):
    """One or more steps failed; the message names each with its reason."""


@flow(name="pipeline", flow_run_name="pipeline {recipe}", task_runner=ThreadPoolTaskRunner())  # type: ignore[arg-type]
def pipeline(
    recipe: Annotated[str, Field(description="Path of the recipe, a TOML file")],
    data: Annotated[str, Field(description="A BirdCLEF+ folder")],
    store: Annotated[str, Field(description="Folder of the artifact store")] = "store",
    out: Annotated[str, Field(description="Folder for submission, scores and tables")] = "out",
    settings: Annotated[list[str], Field(description="KEY=VALUE over the recipe's own")] = [],  # noqa: B006
    collection: Annotated[str, Field(description="Folder of Xeno-canto recordings")] = "collection",
) -> dict[str, Any]:
    """Recordings to submission: run what is not in the store, write results, return the scores."""
    plan_of = read_recipe(Path(recipe), settings)
    shelf = Store(Path(store))
    source = scan(Path(data), shelf)
    if plan_of.collects is not None:
        competition = competition_of(source.csv)
        if due(Path(collection), plan_of.collects, competition):
            try:
                collect(recipe, data, collection, settings)
            except CollectFailed as error:
                if due(Path(collection), plan_of.collects, competition):
                    raise  # something was never tried
                get_run_logger().warning("goes on without some recordings: %s", error)
    found = gathered(plan_of, source, Path(collection))
    dag = build_dag(plan_of, source, shelf, found, keep_shards=True)
    _fetch_weights(plan_of, dag, shelf)
    try:
        run_steps(dag, shelf)
    finally:
        _show(dag, shelf)
    scores = write_results(dag, shelf, Path(out))
    create_markdown_artifact((Path(out) / "summary.md").read_text(), key="summary")
    return scores


def run_steps(dag: Dag, store: Store) -> None:
    """Submit every step, each after what it reads; raises PipelineFailed with the reasons."""
    futures: dict[Ref, PrefectFuture[Ref]] = {}
    stopping.clear()
    try:
        for step in dag.steps:
            inputs = [futures[ref] for refs in step.inputs.values() for ref in refs]
            task = in_store(STAGES[step.stage], str(store.root))
            futures[step.ref] = task.submit(step, str(store.root), wait_for=inputs)  # type: ignore[call-overload]
        wait(list(futures.values()))
    except BaseException:  # Ctrl-C, and SIGTERM of a worker that cancels the flow
        stopping.set()
        raise
    failed = []
    for step in dag.steps:
        state = futures[step.ref].state
        if state.is_failed() or state.is_crashed():
            failed.append(f"{step.name}: {_reason(futures[step.ref])}")
    if failed:
        raise PipelineFailed("\n".join(failed))


def workers() -> int:
    """Tasks at once: BIRDFLOW_WORKERS, or one per core."""
    return int(os.environ.get("BIRDFLOW_WORKERS", 0)) or len(os.sched_getaffinity(0))


def configured() -> Any:
    """The flow with as many task threads as there are workers, which share the cores."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(max(1, cores // workers()))
    return pipeline.with_options(task_runner=ThreadPoolTaskRunner(max_workers=workers()))  # type: ignore[arg-type]


def _fetch_weights(recipe: Recipe, dag: Dag, store: Store) -> None:
    """Have pretrained weights before any work, so that their lack is no surprise at night."""
    runs = {
        step.config["backbone"]
        for step in dag.steps
        if step.stage == "train" and step.config["pretrained"] and store.find(step.ref) is None
    }
    for one in recipe.round:
        for backbone in one.backbones:
            if one.pretrained and backbone in runs:
                weights = None if one.weights is None else Path(one.weights)
                build_backbone(backbone, pretrained=True, weights=weights)


def _reason(future: PrefectFuture[Ref]) -> str:
    error = future.state.result(raise_on_failure=False)
    return plain(error) if isinstance(error, BaseException) else str(error)


def _show(dag: Dag, store: Store) -> None:
    """A table artifact per stage, also of a run that failed."""
    for stage in STAGES:
        rows = stage_table([step for step in dag.steps if step.stage == stage], store)
        if rows:
            create_table_artifact(rows, key=stage, description=f"{len(rows)} steps of {stage}")
    done = sum(store.find(step.ref) is not None for step in dag.steps)
    get_run_logger().info("%d of %d steps are in the store", done, len(dag.steps))
