"""How tasks reach the archive: the key, and the one rate limit on the server."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError

from birdcore.archives.errors import KEY_NAME
from tasks.archive import SECRET, archive_key, archive_of, set_limit

SOURCE = "xeno-canto"
pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]


@pytest.fixture
def block() -> Iterator[None]:
    Secret(value="of the block").save(SECRET, overwrite=True)
    yield
    Secret.delete(SECRET)


def test_there_is_no_key_where_nobody_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_NAME, raising=False)
    assert archive_key() == ""


@pytest.mark.usefixtures("block")
def test_the_environment_comes_before_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_NAME, raising=False)
    assert archive_key() == "of the block"
    monkeypatch.setenv(KEY_NAME, "of the environment")
    assert archive_key() == "of the environment"


def test_the_limit_is_made_and_changed() -> None:
    for per_second in (2.0, 0.25):
        set_limit(SOURCE, per_second)
        with get_client(sync_client=True) as client:
            limit = client.read_global_concurrency_limit_by_name(SOURCE)
        assert (limit.limit, limit.slot_decay_per_second) == (1, per_second)
        assert limit.active


def test_nothing_is_asked_without_a_limit() -> None:
    set_limit(SOURCE, 1.0)
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(SOURCE)
    with (
        archive_of("http://127.0.0.1:9", "xeno-canto") as archive,
        pytest.raises(ConcurrencySlotAcquisitionError),
    ):
        archive.wait()
    set_limit(SOURCE, 100.0)
    with archive_of("http://127.0.0.1:9", "xeno-canto") as archive:
        archive.wait()


WAITER = """
import sys, time
from tasks.archive import archive_of

with archive_of("http://127.0.0.1:9", "xeno-canto") as archive:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(5):
        archive.wait()
        print(time.time(), flush=True)
"""


def test_two_processes_together_keep_the_rate() -> None:
    set_limit(SOURCE, 2.0)
    command = [sys.executable, "-c", WAITER]
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    said = ""
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        said += run.communicate(timeout=120)[0]
        assert run.returncode == 0
    times = sorted(map(float, said.split()))
    assert len(times) == 10
    # Nine pauses of half a second; who is told of a turn may be told late.
    assert times[-1] - times[0] >= 0.8 * 9 / 2.0
