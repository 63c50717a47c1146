"""The set-up of a server: all of it there after the first time, and unchanged by the second."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from flows.deployments import Spec, merge
from flows.server_setup import POOLS, automations, set_up
from tasks.archive import SOURCES, set_limit
from tasks.train import LIMIT as GPU

PARTS = ("clean", "mel", "train", "label", "ensemble", "predict", "score")
pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]


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
    assert set(found) == {"pipeline", "collect", "detect", *PARTS}
    for name, one in found.items():
        assert one.work_pool_name == POOLS[name in ("pipeline", "train")]
        assert one.description
        assert "birdflow" in one.tags
        assert not any(schedule.active for schedule in one.schedules)
        assert one.job_variables["env"] == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        asked = one.parameter_openapi_schema["properties"]
        assert asked["folder" if name == "detect" else "recipe"]["description"]
        assert set(one.parameters) <= set(asked)
    assert {name: found[name].parameters["only"] for name in PARTS} == {n: n for n in PARTS}
    assert [schedule.slug for schedule in found["pipeline"].schedules] == ["weekly"]
    for name in ("collect", "detect"):
        assert [schedule.slug for schedule in found[name].schedules] == ["nightly"]
    assert {one.name for one in api.read_automations()} == {one.name for one in automations()}
    assert api.read_global_concurrency_limit_by_name(GPU).limit >= 1
    for archive in SOURCES:
        assert api.read_global_concurrency_limit_by_name(archive).slot_decay_per_second > 0

    before = triggers(api)
    assert len(before) == len(automations())

    (weekly,) = found["pipeline"].schedules
    api.update_deployment_schedule(found["pipeline"].id, weekly.id, active=True)
    api.upsert_global_concurrency_limit_by_name(GPU, 3)
    set_limit(SOURCES[0], 0.25)
    set_up()
    assert deployments(api)["pipeline"].schedules[0].active
    assert triggers(api) == before
    assert api.read_global_concurrency_limit_by_name(GPU).limit == 3
    assert api.read_global_concurrency_limit_by_name(SOURCES[0]).slot_decay_per_second == 0.25


@pytest.fixture
def file(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., list[str]]:
    """Registers a file of deployments in which words are replaced, and what it says of that."""
    text = Path("deployments/prefect.yaml").read_text(encoding="utf-8")
    set_up()  # as it stands
    monkeypatch.setattr("flows.server_setup.YAML", tmp_path / "prefect.yaml")

    def register(**words: str) -> list[str]:
        changed = text
        for old, new in words.items():
            assert old in changed
            changed = changed.replace(old, new)
        (tmp_path / "prefect.yaml").write_text(changed, encoding="utf-8")
        said: list[str] = []
        set_up(said.append)
        return said

    return register


def test_an_upgrade_keeps_what_a_person_changed_and_says_what_it_changes(
    api: SyncPrefectClient, file: Callable[..., list[str]]
) -> None:
    assert file() == []
    found = deployments(api)["pipeline"]
    (weekly,) = found.schedules
    api.update_deployment_schedule(found.id, weekly.id, active=True)
    api.create_deployment_schedules(found.id, [(CronSchedule(cron="5 4 * * *"), True)])
    mine = found.parameters | {"store": "/mine", "settings": ["seed=3"]}
    api.update_deployment(found.id, DeploymentUpdate(parameters=mine, tags=[*found.tags, "mine"]))
    assert file() == []  # nothing has to change

    said = file(
        **{
            "Runs a recipe": "Trains a recipe",
            "demo/out": "demo/other",
            "0 3 * * 0": "0 2 * * 0",
        }
    )
    after = deployments(api)["pipeline"]
    assert (after.description or "").startswith("Trains a recipe")
    assert after.parameters == mine | {"out": "demo/other"}
    assert after.tags == ["birdflow", "pipeline", "mine"]
    kept = {one.slug: (one.active, one.schedule.model_dump()["cron"]) for one in after.schedules}
    assert kept == {"weekly": (True, "0 2 * * 0"), None: (True, "5 4 * * *")}
    assert any(line.startswith("updating deployment pipeline/pipeline: ") for line in said)
    (yours,) = [line for line in said if "parameters.store" in line]
    assert "parameters.settings" in yours
    assert "schedules.weekly.active" in yours
    assert (
        file(
            **{
                "Runs a recipe": "Trains a recipe",
                "demo/out": "demo/other",
                "0 3 * * 0": "0 2 * * 0",
            }
        )
        == []
    )


def test_each_thing_that_lacks_is_made_and_the_others_are_left_alone(
    api: SyncPrefectClient, file: Callable[..., list[str]]
) -> None:
    """As a start leaves it that was killed at any moment."""
    before = deployments(api)
    api.delete_deployment(before["mel"].id)
    (silent, _) = automations()
    api.delete_automation(api.read_automations_by_name(silent.name)[0].id)
    assert file() == ["registering deployment pipeline/mel"]
    after = deployments(api)
    assert after["mel"].parameters == before["mel"].parameters
    untouched = {name: one.updated for name, one in before.items() if name != "mel"}
    assert {name: after[name].updated for name in untouched} == untouched
    assert len(api.read_automations_by_name(silent.name)) == 1


def test_a_checkout_that_was_moved_is_registered_anew(
    api: SyncPrefectClient,
    file: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "flows").symlink_to(Path("flows").absolute())
    monkeypatch.setattr("flows.server_setup.ROOT", tmp_path / "moved")
    said = [line for line in file() if line.startswith("updating")]
    assert len(said) == 10
    assert all(line.endswith(": pull_steps") for line in said)
    (step,) = deployments(api)["collect"].pull_steps or []
    assert step["prefect.deployments.steps.set_working_directory"]["directory"] == str(
        tmp_path / "moved"
    )


def test_an_automation_follows_this_file_unless_a_person_changed_it(
    api: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    silent, crashed = (api.read_automations_by_name(one.name)[0] for one in automations())
    api.pause_automation(silent.id)
    theirs = automations()[1].model_copy(update={"description": crashed.description})
    theirs.actions[0].message = "mine"
    api.update_automation(crashed.id, theirs)
    monkeypatch.setattr("flows.server_setup.SILENT_S", 80)
    monkeypatch.setattr("flows.server_setup.SETTLED_S", 20)
    said: list[str] = []
    set_up(said.append)
    silent_now, crashed_now = (api.read_automations_by_name(one.name)[0] for one in automations())
    assert silent_now.trigger.within.total_seconds() == 80
    assert not silent_now.enabled
    assert crashed_now.actions[0].message == "mine"
    assert [line.partition(" ")[0] for line in said] == ["updating", "keeping"]
    api.delete_automation(crashed.id)
    api.delete_automation(silent.id)


VALUES = st.sampled_from(["a", "b", "c"])
SPECS = st.dictionaries(st.sampled_from(["x", "y", "z"]), VALUES | st.dictionaries(VALUES, VALUES))


@given(SPECS, SPECS)
def test_what_nobody_changed_follows_the_file(before: Spec, new: Spec) -> None:
    assert merge(before, before, new) == new


@given(SPECS, SPECS)
def test_what_a_person_changed_stays(before: Spec, now: Spec) -> None:
    assert merge(before, now, before) == now


def test_of_two_changes_the_persons_counts() -> None:
    before = {"keep": 1, "mine": 1, "both": 1, "withdrawn": 1, "removed": 1}
    now = {"keep": 1, "mine": 2, "both": 2, "withdrawn": 1, "added": 1}
    new = {"keep": 3, "mine": 1, "both": 3, "removed": 1, "fresh": 1}
    assert merge(before, now, new) == {"keep": 3, "mine": 2, "both": 2, "added": 1, "fresh": 1}


def test_what_automations_do() -> None:
    silent, crashed = automations()
    assert [action.state for one in (silent, crashed) for action in one.actions] == [
        StateType.CRASHED,
        StateType.SCHEDULED,
    ]
    # Two beats may be lost; the third is in time.
    assert 2 * 30 < silent.trigger.within.total_seconds() < 3 * 30


@pytest.mark.parametrize("ignored", [(), ("HUP", "INT", "TERM")])
def test_the_worker_ends_with_whoever_started_it(
    prefect_server: str, ignored: tuple[str, ...], tmp_path: Path
) -> None:
    """Also where `nohup` and `&` had let that ignore signals."""
    trap = f"trap '' {' '.join(ignored)};" if ignored else ""
    with subprocess.Popen(
        ["bash", "-c", f"{trap} exec {sys.executable} -m flows.worker {POOLS[0]}"],
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
