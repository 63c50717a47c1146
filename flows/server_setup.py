"""What runs of deployments need on a server: work pools, deployments, limits, automations.

Each thing is compared with what it should be, so whatever an earlier start left undone is done by
the next. What a person has changed stays (flows/deployments.py).
Prefect must know its server before this is imported.
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

from flows.deployments import register, wanted
from flows.environment import ROOT
from flows.server import ServerError
from tasks.archive import have_archive_limit
from tasks.train import have_gpu_limit

YAML = ROOT / "deployments" / "prefect.yaml"
POOLS = ("birdflow-cpu", "birdflow-train")
TAG = "birdflow"
GOES_ON = "birdflow: a crashed run goes on"
RESTART = "goes on after a crash"
"""The message of a state that starts a run again, by which such starts are counted."""
ALIVE = ("Pending", "Submitting", "pull-step.executed", "Running", "Retrying", "heartbeat")
"""What a run says that has a process."""
SILENT_S = 75
"""A run that says nothing for so long has crashed: it has a heartbeat every 30 s."""
SETTLED_S = 15
"""A crashed run goes on after so long: its worker reports a crash twice, seconds apart."""
TRIES = 3
"""A run that crashes is started again until it has begun so often."""


def set_up(say: Callable[[str], object] = lambda _: None) -> None:
    """Make on the server what is not there or not as it should be, each thing by itself.

    What changes is said before it is done. Raises ServerError where Prefect refuses a step.
    """
    with get_client(sync_client=True) as client:
        for pool in POOLS:
            _have_pool(client, pool)
        have_archive_limit()
        have_gpu_limit()
        try:
            for title, deployment in wanted(YAML, ROOT).items():
                register(client, title, deployment, say)
            for automation in automations():
                _have_automation(client, automation, say)
        except PrefectHTTPStatusError as error:
            raise ServerError(f"the server refuses what birdflow needs: {error}") from error


def automations() -> list[AutomationCore]:
    """Silent runs have crashed; crashed runs go on, but not for ever.

    Both wait for a silence. An automation that reacts at once fires again and again where SQLite
    is locked, since the server handles the same event anew.
    """
    crashed = AutomationCore(
        name="birdflow: a silent run has crashed",
        description=f"Its process is gone: not a sign of it for {SILENT_S} s.",
        trigger=_silence(SILENT_S, *ALIVE),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"nothing was heard of it for {SILENT_S} s",
                force=False,
            )
        ],
    )
    begun = [str(count + 1) for count in range(TRIES - 1)]
    goes_on = AutomationCore(
        name=GOES_ON,
        description=f"The same run again, until it has begun {TRIES} times.",
        trigger=_silence(SETTLED_S, "Crashed", **{"prefect.run-count": begun}),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                message=RESTART,
                force=False,
            )
        ],
    )
    return [crashed, goes_on]


def _silence(seconds: int, *after: str, **labels: list[str]) -> EventTrigger:
    """One of our runs says nothing for so long after one of these events."""
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


def _have_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", base_job_template=template)
        )


def _have_automation(
    client: SyncPrefectClient, automation: AutomationCore, say: Callable[[str], object]
) -> None:
    """The automation as it should be, unless a person has changed what it does.

    Switched off it stays off. It is written only where it differs: it forgets since when runs
    are silent.
    """
    mark = f"[{_digest(automation)}]"
    automation.description = f"{automation.description} {mark}"
    known = client.read_automations_by_name(automation.name)
    if not known:
        client.create_automation(automation)
        return
    (there, *_) = known
    if there.description.endswith(mark):
        return  # ours, or what a person has made of it
    untouched = there.description.endswith(f"[{_digest(there)}]")
    if not untouched and there.description.endswith("]"):
        say(f"keeps the automation {automation.name!r} as you have changed it")
        return
    say(f"changes the automation {automation.name!r}")
    automation.enabled = there.enabled
    client.update_automation(there.id, automation)


def _digest(automation: AutomationCore) -> str:
    """Of what it waits for and what it does."""
    does = automation.model_dump(mode="json", include={"trigger", "actions"})
    does["trigger"].pop("id", None)
    for field in ("after", "expect", "for_each"):
        does["trigger"][field] = sorted(does["trigger"][field])
    return hashlib.sha256(json.dumps(does, sort_keys=True).encode()).hexdigest()[:8]
