"""Runs that the server shows as running though their process is gone: marked, and started again.

Automations do both by the events of a run (flows/server_setup.py). But a server that died with the
run, as in a power cut, holds an event back for 15 minutes where it has not itself seen the one
before, and loses events where SQLite is locked. The store knows better which runs have a process:
each holds a lock there (birdcore/store/runs.py). And which runs have crashed is on record, whatever
events say.
"""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry, Cancelled, Crashed

from birdcore.store.format import StoreError
from birdcore.store.location import local_folder
from birdcore.store.runs import runs
from birdcore.store.store import Store
from flows.environment import ROOT
from flows.server_setup import GOES_ON, RESTART, SETTLED_S, SILENT_S, TAG, TRIES

GONE = "its process is gone: nothing holds its lock in the store"
NEVER_BEGAN = "its worker died before it began"
OVER = "its run was cancelled"
FORGOTTEN_S = 600
"""Seconds after which a crashed run is left for a person to start again."""


def mark_crashed() -> None:
    """Mark birdflow's runs that have no process as crashed.

    Their record in the store shows it, or the time for which they have been pending. Runs that
    have just begun (again) are left alone.
    """
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=_birdflow_runs(StateType.RUNNING)):
            if _age(run) > SILENT_S and _process_is_gone(run):
                client.set_flow_run_state(run.id, Crashed(message=GONE))
        for run in client.read_flow_runs(flow_run_filter=_birdflow_runs(StateType.PENDING)):
            if _age(run) > 2 * SILENT_S:  # longer than the automation waits
                client.set_flow_run_state(run.id, Crashed(message=NEVER_BEGAN))


def resume_crashed() -> None:
    """Start crashed runs again that the automation should have started by now.

    To switch the automation off in the UI switches this off too.
    """
    with get_client(sync_client=True) as client:
        if not any(found.enabled for found in client.read_automations_by_name(GOES_ON)):
            return
        for run in client.read_flow_runs(flow_run_filter=_birdflow_runs(StateType.CRASHED)):
            due = 2 * SETTLED_S < _age(run) < FORGOTTEN_S
            if due and run.deployment_id and _restarts(client, run) < TRIES - 1:
                client.set_flow_run_state(run.id, AwaitingRetry(message=RESTART))


def cancel_orphaned_tasks() -> None:
    """Mark unfinished tasks of cancelled runs, which have no process any more, as cancelled."""
    unfinished = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    tasks = TaskRunFilter.model_validate({"state": {"type": {"any_": unfinished}}})
    with get_client(sync_client=True) as client:
        cancelled = _birdflow_runs(StateType.CANCELLED)
        for task in client.read_task_runs(flow_run_filter=cancelled, task_run_filter=tasks):
            client.set_task_run_state(task.id, Cancelled(message=OVER), force=True)


def _restarts(client: SyncPrefectClient, run: FlowRun) -> int:
    """How often the run was started again after a crash, since a person last started it."""
    count, over = 0, False
    for state in sorted(client.read_flow_run_states(run.id), key=lambda state: state.timestamp):
        if state.type == StateType.SCHEDULED and state.message == RESTART:
            count += 1
        elif state.type == StateType.SCHEDULED and over:
            count = 0
        over = state.is_final()
    return count


def _birdflow_runs(state: StateType) -> FlowRunFilter:
    return FlowRunFilter.model_validate(
        {"state": {"type": {"any_": [state]}}, "tags": {"all_": [TAG]}}
    )


def _age(run: FlowRun) -> float:
    """Seconds in its state; 0 for a run without one."""
    since = run.state.timestamp if run.state else datetime.now(UTC)
    return (datetime.now(UTC) - since) / timedelta(seconds=1)


def _process_is_gone(run: FlowRun) -> bool:
    folder = ROOT / local_folder(str(run.parameters.get("store", "")))
    if not (folder / "store.json").is_file():  # on another machine, or not begun
        return False
    try:
        known = runs(Store(folder))
    except StoreError:  # of another version of birdflow, which handles it
        return False
    return any(record.flow_run == str(run.id) and record.state == "died" for record in known)
