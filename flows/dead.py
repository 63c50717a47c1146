"""Runs that the server takes for running though their process is gone: marked as crashed.

Automations find such runs by their silence (flows/setup.py). But they forget what was on its way
when the server died with the run, as in a power cut, and then wait for ever. The store knows
better: a run holds a lock there for as long as it lives (birdcore/runs.py).
"""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from birdcore.runs import runs
from birdcore.store import Store
from flows.setup import ROOT, SILENT_S, TAG

GONE = "its process is gone: nobody holds its lock in the store"
RUNNING = FlowRunFilter(
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
    tags=FlowRunFilterTags(all_=[TAG]),
)


def mark_dead() -> None:
    """Mark our runs whose record says that they died, but those that have just begun (again)."""
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=RUNNING):
            if _is_settled(run) and _died(run):
                client.set_flow_run_state(run.id, Crashed(message=GONE))


def _is_settled(run: FlowRun) -> bool:
    """Whether it has been in this state for as long as a process takes to begin."""
    since = run.state.timestamp if run.state else None
    return since is not None and since < datetime.now(UTC) - timedelta(seconds=SILENT_S)


def _died(run: FlowRun) -> bool:
    folder = ROOT / str(run.parameters.get("store", ""))
    if not (folder / "store.json").is_file():  # on another machine, or not begun
        return False
    return any(one.flow_run == str(run.id) and one.state == "died" for one in runs(Store(folder)))
