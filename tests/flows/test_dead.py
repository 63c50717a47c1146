"""Runs whose process is gone, on a real server: marked by what the store knows of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Crashed, Running

from birdcore.runs import FOLDER, Asked, recorded, runs
from birdcore.store import Store
from flows import dead
from flows.dead import go_on, mark_dead
from flows.setup import GOES_ON, TAG, TRIES, set_up

ASKED = Asked("mini.toml", "data", "out")


@flow
def anything(store: str) -> None:
    """A flow for runs that are only said to run."""


@pytest.fixture
def api(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setattr(dead, "SILENT_S", 0)
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def running(api: SyncPrefectClient, store: Store, *tags: str) -> UUID:
    """A run that the server takes for running."""
    parameters = {"store": str(store.root)}
    return api.create_flow_run(anything, parameters=parameters, tags=tags, state=Running()).id


def leave_record(store: Store, run: UUID) -> None:
    """As a process leaves it that is killed: running by its word, and nobody has its lock."""
    with recorded(store, ASKED, (), str(run)) as begun:
        path = store.root / FOLDER / f"{begun.name}.json"
        text = path.read_text()
    path.write_text(text)
    assert json.loads(text)["state"] == "running"
    assert {one.state for one in runs(store) if one.flow_run == str(run)} == {"died"}


def state(api: SyncPrefectClient, run: UUID) -> str | None:
    return api.read_flow_run(run).state_name


def test_a_run_that_died_is_marked_and_one_that_lives_is_not(
    api: SyncPrefectClient, store: Store
) -> None:
    died, lives, unknown = (running(api, store, TAG) for _ in range(3))
    someone_elses = running(api, store)
    for run in (died, someone_elses):
        leave_record(store, run)
    with recorded(store, ASKED, (), str(lives)):
        mark_dead()
    assert state(api, died) == "Crashed"
    assert [state(api, run) for run in (lives, unknown, someone_elses)] == ["Running"] * 3


def test_a_store_of_another_birdflow_is_none_of_our_business(
    api: SyncPrefectClient, store: Store
) -> None:
    run = running(api, store, TAG)
    leave_record(store, run)
    (store.root / "store.json").write_text('{"birdflow": "store", "layout": 99}')
    mark_dead()
    assert state(api, run) == "Running"


def test_a_run_that_has_just_begun_again_is_left_alone(
    api: SyncPrefectClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "SILENT_S", 60)
    run = running(api, store, TAG)
    leave_record(store, run)
    mark_dead()
    assert state(api, run) == "Running"


def test_a_crashed_run_goes_on_but_not_for_ever(
    api: SyncPrefectClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    (automation,) = api.read_automations_by_name(GOES_ON)
    api.pause_automation(automation.id)  # before a run crashes: a slow server would do it itself
    monkeypatch.setattr(dead, "SETTLED_S", 0)
    deployment = api.read_deployment_by_name("pipeline/mel").id

    def crashed(times: int) -> UUID:
        run = api.create_flow_run_from_deployment(deployment).id
        for _ in range(times):
            api.set_flow_run_state(run, Running(), force=True)
            api.set_flow_run_state(run, Crashed(), force=True)
        return run

    once, too_often, by_hand = crashed(1), crashed(TRIES), running(api, store, TAG)
    api.set_flow_run_state(by_hand, Crashed())
    go_on()
    assert state(api, once) == "Crashed"
    api.resume_automation(automation.id)
    go_on()
    assert state(api, once) == "AwaitingRetry"
    assert [state(api, run) for run in (too_often, by_hand)] == ["Crashed", "Crashed"]
