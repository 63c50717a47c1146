"""Runs whose process is gone, on a real server: marked by what the store knows of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.states import AwaitingRetry, Cancelled, Completed, Crashed, Pending, Running, Scheduled

from birdcore.store.run_records import FOLDER, RunRequest
from birdcore.store.runs import recorded, runs
from birdcore.store.store import Store
from flows import crash_recovery as dead
from flows.crash_recovery import cancel_orphaned_tasks, mark_crashed, resume_crashed
from flows.server_setup import GOES_ON, RESTART, TRIES, set_up

pytestmark = pytest.mark.xdist_group("server_settings")
REQUEST = RunRequest("mini.toml", "data", "out")
TAG = "birdflow of these tests"
"""Runs of other tests, which the server has at the same time, are left alone."""


@flow
def anything(store: str) -> None:
    """A flow for runs that are only said to run."""


@pytest.fixture
def api(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setattr(dead, "SILENT_S", 0)
    monkeypatch.setattr(dead, "TAG", TAG)
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
    with recorded(store, REQUEST, (), str(run)) as begun:
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
    with recorded(store, REQUEST, (), str(lives)):
        mark_crashed()
    assert state(api, died) == "Crashed"
    assert [state(api, run) for run in (lives, unknown, someone_elses)] == ["Running"] * 3


def test_a_store_of_another_birdflow_is_none_of_our_business(
    api: SyncPrefectClient, store: Store
) -> None:
    run = running(api, store, TAG)
    leave_record(store, run)
    (store.root / "store.json").write_text('{"birdflow": "store", "layout": 99}')
    mark_crashed()
    assert state(api, run) == "Running"


def test_a_run_that_has_just_begun_again_is_left_alone(
    api: SyncPrefectClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "SILENT_S", 60)
    run = running(api, store, TAG)
    leave_record(store, run)
    mark_crashed()
    assert state(api, run) == "Running"


def test_a_crashed_run_goes_on_but_not_for_ever(
    api: SyncPrefectClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    (automation,) = api.read_automations_by_name(GOES_ON)
    api.pause_automation(automation.id)  # before a run crashes: a slow server would do it itself
    monkeypatch.setattr(dead, "SETTLED_S", 0)
    deployment = api.read_deployment_by_name("pipeline/mel").id

    def crashed(*begins: State[None]) -> UUID:
        """A run that crashed after each of these states."""
        run = api.create_flow_run_from_deployment(deployment, tags=[TAG]).id
        for begin in (Scheduled(), *begins):
            for one in (begin, Pending(), Crashed()):
                api.set_flow_run_state(run, one, force=True)
        return run

    again, by_person = AwaitingRetry(message=RESTART), AwaitingRetry(message="Retry from the UI")
    often = [again] * (TRIES - 1)
    once, too_often, by_hand = crashed(), crashed(*often), running(api, store, TAG)
    retried, retried_too_often = crashed(*often, by_person), crashed(*often, by_person, *often)
    api.set_flow_run_state(by_hand, Crashed())
    resume_crashed()
    assert state(api, once) == "Crashed"
    api.resume_automation(automation.id)
    resume_crashed()
    assert state(api, once) == "AwaitingRetry"
    assert state(api, retried) == "AwaitingRetry"
    assert [state(api, run) for run in (too_often, by_hand)] == ["Crashed", "Crashed"]
    assert state(api, retried_too_often) == "Crashed"


def test_a_run_whose_worker_died_before_it_began_is_marked(
    api: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted, other = (api.create_flow_run(anything, tags=tags).id for tags in ([TAG], []))
    for run in (submitted, other):
        api.set_flow_run_state(run, Pending(), force=True)
    monkeypatch.setattr(dead, "SILENT_S", 3600)
    mark_crashed()
    assert state(api, submitted) == "Pending"
    monkeypatch.setattr(dead, "SILENT_S", 0)
    mark_crashed()
    assert [state(api, run) for run in (submitted, other)] == ["Crashed", "Pending"]


def test_the_tasks_of_a_cancelled_run_are_cancelled(api: SyncPrefectClient, store: Store) -> None:
    @task
    def step() -> None:
        """A task for task runs that are only said to be."""

    cancelled, lives, someone_elses = (
        running(api, store, TAG), running(api, store, TAG), running(api, store),
    )  # fmt: skip
    tasks = {
        (run, kind): api.create_task_run(step, run, f"{kind}", state=begin()).id
        for run in (cancelled, lives, someone_elses)
        for kind, begin in (("Pending", Pending), ("Running", Running), ("Completed", Completed))
    }
    for run in (cancelled, someone_elses):
        api.set_flow_run_state(run, Cancelled(), force=True)
    cancel_orphaned_tasks()
    for (run, kind), one in tasks.items():
        ended = run == cancelled and kind != "Completed"
        assert api.read_task_run(one).state_name == ("Cancelled" if ended else kind)
