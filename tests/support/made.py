"""A part of a DAG made in a store, without Prefect."""

from birdcore.stages.table import load_run
from birdcore.store.artifact import Artifact
from birdcore.store.store import Store
from flows.dag import Dag


def made_to(last: str, dag: Dag, store: Store) -> dict[str, Artifact]:
    """The artifacts of a step and of all that it needs, by the names of their steps."""
    by_ref = {step.ref: step for step in dag.steps}
    wanted = [step for step in dag.steps if step.name == last]
    for step in wanted:
        wanted += [by_ref[ref] for refs in step.inputs.values() for ref in refs]
    needed = {step.ref for step in wanted}
    steps = [step for step in dag.steps if step.ref in needed]
    return {step.name: store.make(step, load_run(step.stage)) for step in steps}
