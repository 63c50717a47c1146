"""Set up a server for runs of deployments: work pools, deployments, limits, automations.

Every object is compared with its intended state, so a set-up that was interrupted is completed by
the next. What users changed stays (flows/deployments.py).
Set Prefect's server before importing this module.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker

from flows.deployments import read_deployments, register
from flows.environment import ROOT
from flows.server import ServerError
from tasks.archive import have_archive_limits
from tasks.train import have_gpu_limit

YAML = ROOT / "deployments" / "prefect.yaml"
POOLS = ("birdflow-cpu", "birdflow-train")
TAG = "birdflow"
GOES_ON = "birdflow: a crashed run goes on"
RESTART = "goes on after a crash"
"""Message of a state that restarts a run; restarts are counted by it."""
ALIVE = ("Pending", "Submitting", "pull-step.executed", "Running", "Retrying", "heartbeat")
"""Events of a run that has a process."""
SILENT_S = 75
"""A run without an event for so long has crashed; a heartbeat comes every 30 s."""
SETTLED_S = 15
"""Delay before a crashed run is restarted: its worker reports a crash twice, seconds apart."""
TRIES = 3
"""A run is started at most so often."""


def set_up(say: Callable[[str], object] = lambda _: None) -> None:
    """Create or update everything that birdflow needs on the server.

    Args:
        say: Prints a line before each change.

    Raises:
        ServerError: Prefect refuses a step.
    """
    with get_client(sync_client=True) as client:
        for pool in POOLS:
            _ensure_pool(client, pool)
        have_archive_limits()
        have_gpu_limit()
        try:
            for title, deployment in read_deployments(YAML, ROOT).items():
                register(client, title, deployment, say)
            for automation in automations():
                _ensure_automation(client, automation, say)
        except PrefectHTTPStatusError as error:
            raise ServerError(f"the server refuses what birdflow needs: {error}") from error


def automations() -> list[AutomationCore]:
    """Two automations: mark runs without heartbeats as crashed, and restart crashed runs.

    Both react to missing events. An automation that reacts to an event fires repeatedly while
    SQLite is locked, because the server handles the same event again.
    """
    crashed = AutomationCore(
        name="birdflow: a silent run has crashed",
        description=f"Its process is gone: no event for {SILENT_S} s.",
        trigger=_silence(SILENT_S, *ALIVE),
        actions=[_change_to(StateType.CRASHED, "Crashed", f"no event for {SILENT_S} s")],
    )
    begun = [str(count + 1) for count in range(TRIES - 1)]
    goes_on = AutomationCore(
        name=GOES_ON,
        description=f"The same run again, until it has begun {TRIES} times.",
        trigger=_silence(SETTLED_S, "Crashed", **{"prefect.run-count": begun}),
        actions=[_change_to(StateType.SCHEDULED, "AwaitingRetry", RESTART)],
    )
    return [crashed, goes_on]


def _change_to(state: StateType, name: str, message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=state, name=name, message=message, force=False)


def _silence(seconds: int, *after: str, **labels: list[str]) -> EventTrigger:
    """Fires where a run of birdflow has no event for so long after one of these events."""
    return EventTrigger(
        after={f"prefect.flow-run.{event}" for event in after},
        expect={"prefect.flow-run.*"},
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*", **labels}),
        match_related=ResourceSpecification(
            {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", base_job_template=template)
        )


def _ensure_automation(
    client: SyncPrefectClient, automation: AutomationCore, say: Callable[[str], object]
) -> None:
    """Create or update an automation, unless a user changed what it does.

    One that is disabled stays disabled. It is written only where it differs, because an update
    resets the timers of its trigger.
    """
    mark = f"[{_digest(automation)}]"
    automation.description = f"{automation.description} {mark}"
    known = client.read_automations_by_name(automation.name)
    if not known:
        client.create_automation(automation)
        return
    (there, *_) = known
    if there.description.endswith(mark):
        return  # up to date, or changed by a user since
    untouched = there.description.endswith(f"[{_digest(there)}]")
    if not untouched and there.description.endswith("]"):
        say(f"keeping your changes of automation {automation.name!r}")
        return
    say(f"updating automation {automation.name!r}")
    automation.enabled = there.enabled
    client.update_automation(there.id, automation)


def _digest(automation: AutomationCore) -> str:
    """A digest of an automation's trigger and actions."""
    does = automation.model_dump(mode="json", include={"trigger", "actions"})
    does["trigger"].pop("id", None)
    for field in ("after", "expect", "for_each"):
        does["trigger"][field] = sorted(does["trigger"][field])
    return hashlib.sha256(json.dumps(does, sort_keys=True).encode()).hexdigest()[:8]
