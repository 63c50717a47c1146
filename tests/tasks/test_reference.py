"""What `tasks.reference` leans on: how Prefect reads a cached result."""

from pathlib import Path

import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from birdcore.artifact import Facts, Ref, Step
from birdcore.layout import StoreError
from birdcore.store import Job, Store
from tasks.reference import ReferenceSerializer
from tasks.stage import in_store, stage_task


def write(job: Job) -> Facts:
    (job.folder / "file.txt").write_text("content")
    return {}


@pytest.mark.usefixtures("prefect_server")
def test_a_cached_result_whose_files_are_gone_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    step = Step("write", 1, "one")
    task = in_store(stage_task("write", write), str(store.root))

    @flow
    def run() -> str:
        state: State[Ref] = task(step, str(store.root), return_state=True)
        return state.name

    assert run() == "Completed"
    assert run() == "Cached"
    (store.path(step.ref) / "file.txt").unlink()
    assert run() == "Completed"
    assert (store.path(step.ref) / "file.txt").read_text() == "content"
    assert run() == "Cached"


def test_a_reference_is_read_only_while_its_artifact_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ref = store.make(Step("write", 1, "one"), write).ref
    serializer = ReferenceSerializer(store=str(store.root))
    blob = serializer.dumps(ref)
    assert serializer.loads(blob) == ref
    (store.path(ref) / "file.txt").write_text("cut")
    with pytest.raises(StoreError, match="not in the store"):
        serializer.loads(blob)


def test_of_an_error_the_message_stays(tmp_path: Path) -> None:
    serializer = ReferenceSerializer(store=str(tmp_path))
    error = serializer.loads(serializer.dumps(ValueError("no such bird")))
    assert isinstance(error, RuntimeError)
    assert str(error) == "no such bird"
