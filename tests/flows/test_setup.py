"""The set-up of a server: all of it there after the first time, and unchanged by the second."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse

from flows.setup import POOLS, automations, set_up
from tasks.archive import LIMIT as ARCHIVE
from tasks.archive import set_limit
from tasks.train import LIMIT as GPU

PARTS = ("clean", "mel", "train", "label", "ensemble", "predict", "score")
pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def api() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def deployments(api: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    return {one.name: one for one in api.read_deployments()}


def triggers(api: SyncPrefectClient) -> set[str]:
    """What they wait for is forgotten with them."""
    found = api.request("POST", "/automations/filter", json={}).json()
    return {one["trigger"]["id"] for one in found}


def test_a_server_is_set_up_and_what_a_person_changed_stays(api: SyncPrefectClient) -> None:
    set_up()
    found = deployments(api)
    assert set(found) == {"pipeline", "collect", *PARTS}
    for name, one in found.items():
        assert one.work_pool_name == POOLS[name in ("pipeline", "train")]
        assert one.description
        assert "birdflow" in one.tags
        assert not any(schedule.active for schedule in one.schedules)
        assert one.job_variables["env"] == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        assert one.parameter_openapi_schema["properties"]["recipe"]["description"]
    assert {name: found[name].parameters["only"] for name in PARTS} == {n: n for n in PARTS}
    assert [schedule.slug for schedule in found["pipeline"].schedules] == ["weekly"]
    assert [schedule.slug for schedule in found["collect"].schedules] == ["nightly"]
    assert {one.name for one in api.read_automations()} == {one.name for one in automations()}
    assert api.read_global_concurrency_limit_by_name(GPU).limit >= 1
    assert api.read_global_concurrency_limit_by_name(ARCHIVE).slot_decay_per_second > 0

    before = triggers(api)
    assert len(before) == len(automations())

    (weekly,) = found["pipeline"].schedules
    api.update_deployment_schedule(found["pipeline"].id, weekly.id, active=True)
    api.upsert_global_concurrency_limit_by_name(GPU, 3)
    set_limit(0.25)
    set_up()
    assert deployments(api)["pipeline"].schedules[0].active
    assert triggers(api) == before
    assert api.read_global_concurrency_limit_by_name(GPU).limit == 3
    assert api.read_global_concurrency_limit_by_name(ARCHIVE).slot_decay_per_second == 0.25


def test_the_file_of_deployments_that_has_changed_is_registered_anew(
    api: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_up()
    before = {one.version for one in deployments(api).values()}
    changed = tmp_path / "prefect.yaml"
    text = Path("deployments/prefect.yaml").read_text(encoding="utf-8")
    changed.write_text(text.replace("Only the stage mel", "The stage mel alone"))
    monkeypatch.setattr("flows.setup.YAML", changed)
    set_up()
    after = deployments(api)
    assert (after["mel"].description or "").startswith("The stage mel alone")
    assert {one.version for one in after.values()}.isdisjoint(before)


def test_what_automations_do() -> None:
    silent, crashed = automations()
    assert [action.state for one in (silent, crashed) for action in one.actions] == [
        StateType.CRASHED,
        StateType.SCHEDULED,
    ]
    # Two beats may be lost; the third is in time.
    assert 2 * 30 < silent.trigger.within.total_seconds() < 3 * 30


def test_the_worker_ends_with_whoever_started_it(prefect_server: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flows.worker", POOLS[0]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PREFECT_API_URL": prefect_server},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert any("started!" in line for line in worker.stdout)
        worker.stdin.close()
        assert any("stopped!" in line for line in worker.stdout)
