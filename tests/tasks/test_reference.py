"""What `tasks.reference` leans on: how Prefect reads a cached result."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from birdcore.store.artifact import Metrics, Progress, Ref, Step
from birdcore.store.format import StoreError
from birdcore.store.location import open_store
from birdcore.store.store import Job, Store
from tasks.reference import ReferenceSerializer
from tasks.stage import Make, in_store, stage_task


def write(job: Job) -> Metrics:
    (job.folder / "file.txt").write_text("content")
    return {}


def making(run: Callable[[Job], Metrics]) -> Make:
    """What makes the artifact of a step by `run`, as the stages of the table are made."""

    def make(step: Step, store: str, progress: Progress, refresh: bool) -> None:
        open_store(store).make(step, run, progress, refresh=refresh)

    return make


@pytest.mark.usefixtures("prefect_server")
def test_a_cached_result_whose_files_are_gone_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    step = Step("write", 1, "one")
    task = in_store(stage_task("write", making(write)), str(store.root))

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


@pytest.mark.parametrize(
    "blob",
    [b"", b"[" * 9999, b"3", b"null", b"[]", b'{"stage": 3, "key": "a"}', b'{"stage": "a"}',
     b'{"stage": "..", "key": "../../etc"}', b"\x80\x04cposix\nsystem\n"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(StoreError, match="no reference"):
        ReferenceSerializer(store=str(tmp_path / "store")).loads(blob)
    assert not (tmp_path / "store").exists()


def test_results_lie_where_nobody_else_can_write(tmp_path: Path) -> None:
    """Prefect reads a result with the serializer that its file names, which may be pickle."""
    store = Store(tmp_path / "store")
    (store.root / "prefect" / "results").mkdir(parents=True, mode=0o777)
    task = in_store(stage_task("write", making(write)), str(store.root))
    folder = Path(str(task.result_storage))
    for part in (folder, folder.parent):
        assert part.stat().st_mode & 0o777 == 0o700


def test_results_of_a_linked_folder_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.root / "prefect").mkdir()
    (store.root / "prefect" / "results").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is a link"):
        in_store(stage_task("write", making(write)), str(store.root))
