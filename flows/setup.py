"""What runs of deployments need on a server: work pools, deployments, limits, automations.

Each is made where it lacks, and what a person has changed stays: deployments and automations are
registered anew only where this file or deployments/prefect.yaml has changed since.
Prefect must know its server before this is imported.
"""

import hashlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from birdcore import __version__
from flows.server import ServerError
from tasks.archive import have_archive_limit
from tasks.train import have_gpu_limit

ROOT = Path(__file__).parents[1]
YAML = ROOT / "deployments" / "prefect.yaml"
POOLS = ("birdflow-cpu", "birdflow-train")
TAG = "birdflow"
GOES_ON = "birdflow: a crashed run goes on"
ALIVE = ("Pending", "Submitting", "pull-step.executed", "Running", "Retrying", "heartbeat")
"""What a run says that has a process."""
SILENT_S = 75
"""A run that says nothing for so long has crashed: it has a heartbeat every 30 s."""
SETTLED_S = 15
"""A crashed run goes on after so long: its worker reports a crash twice, seconds apart."""
TRIES = 3
"""A run that crashes is started again until it has begun so often."""


def set_up() -> None:
    """Make on the server what is not there; raises ServerError where Prefect refuses a step."""
    with get_client(sync_client=True) as client:
        for pool in POOLS:
            _have_pool(client, pool)
        changed = _registered(client) != {_version()}
        for automation in automations():
            _have_automation(client, automation, anew=changed)
        have_archive_limit()
        have_gpu_limit()
        if changed:  # the last step: what was done half is done again
            _register()


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
                message="goes on after a crash",
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


def _have_automation(client: SyncPrefectClient, automation: AutomationCore, anew: bool) -> None:
    known = client.read_automations_by_name(automation.name)
    if not known:
        client.create_automation(automation)
    elif anew:  # not each time: it forgets since when runs are silent
        client.update_automation(known[0].id, automation)


def _version() -> str:
    """Of the deployments and of this file."""
    digest = hashlib.sha256(YAML.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    return f"{__version__}-{digest[:8]}"


def _registered(client: SyncPrefectClient) -> set[str | None]:
    """The versions of birdflow's deployments on the server."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    return {one.version for one in client.read_deployments(deployment_filter=ours)}


def _register() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", YAML],
        cwd=ROOT,
        env=os.environ | {"BIRDFLOW_HOME": str(ROOT), "BIRDFLOW_VERSION": _version()},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServerError(f"the deployments can't be registered: {done.stderr or done.stdout}")
