"""The clock: a schedule that fires while a run goes on is refused, and nothing piles up."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import IntervalSchedule

from birdcore.store.files import CHECKPOINTS

ENDLESS = ['round.0.backbones=["test_resnet"]', "round.0.epochs=100000"]


@pytest.fixture
def asked(places: dict[str, Any]) -> dict[str, Any]:
    return places | {"settings": ENDLESS}


def test_who_comes_while_a_run_has_the_store_is_refused(
    ui: Any, asked: dict[str, Any], tmp_path: Path
) -> None:
    first = ui.new_run("pipeline", **asked)
    trainings = (tmp_path / "store" / "work" / "train").glob
    ui.until(lambda: any(trainings(f"*/{CHECKPOINTS}")))

    clock = IntervalSchedule(interval=timedelta(seconds=20))
    pipeline = ui.api.read_deployment_by_name("pipeline/pipeline").id
    (schedule,) = ui.api.create_deployment_schedules(
        pipeline, [DeploymentScheduleCreate(schedule=clock, parameters=asked)]
    )
    ui.until(lambda: sum(run.state.is_final() for run in fired(ui, pipeline)) >= 2)
    ui.api.delete_deployment_schedule(pipeline, schedule.id)
    ui.until(lambda: all(run.state.is_final() for run in fired(ui, pipeline)))
    other = ui.ended(ui.new_run("clean", **asked, only="clean"))
    for run in [*fired(ui, pipeline), other]:
        assert (run.state.type, run.state_name) == (StateType.CANCELLED, "Refused")
        assert f"in use by tiny, {', '.join(ENDLESS)}" in run.state.message
        assert str(first) in run.state.message

    assert ui.run(first).state_name == "Running"
    ui.cancel(first)
    assert ui.ended(first).state_name == "Cancelled"
    ui.until(lambda: not ui.pids("birdcore.stages.training_process"))
    again = ui.ended(ui.new_run("clean", **asked, only="clean"))
    assert again.state_name == "Completed"


def fired(ui: Any, deployment: UUID) -> list[FlowRun]:
    """What the clock should have started by now."""
    of = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    runs = [run for run in ui.api.read_flow_runs(flow_run_filter=of) if run.auto_scheduled]
    return [run for run in runs if run.expected_start_time <= datetime.now(UTC)]
