"""Two machines that share an object store alone: Dask workers, each with a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import MANIFEST, Manifest, Ref, StoredFile
from birdcore.store.manifest import read_manifest

CLOCKED = ("history.jsonl", "tb/")
"""Files of a training that say how long it took; all others are the same wherever it ran."""
SCHEDULER = """
import asyncio
from distributed import Scheduler

async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(main())
"""


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def first_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout
    return running.stdout.readline().strip()


@pytest.fixture
def url(s3: str) -> str:
    """A store in a bucket on loopback."""
    return f"s3://birds/store?{s3}"


@pytest.fixture
def cluster(tmp_path: Path, url: str, listener: Path) -> Iterator[str]:
    """A Dask cluster of two workers, each with its own folder of the store."""
    with ExitStack() as running:
        scheduler = running.enter_context(process("-c", SCHEDULER))
        address = first_line(scheduler)
        for name in ("one", "two"):
            options = ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
            running.enter_context(
                process(
                    *("-m", "distributed.cli.dask_worker", address, *options),
                    BIRDFLOW_CACHE_DIR=str(tmp_path / name),
                    PYTHONPATH=str(listener),
                    PUBLISHED=str(tmp_path / f"{name}.published"),
                )
            )
        yield address


def artifacts(folder: Path) -> dict[str, Manifest]:
    found = folder.glob(f"*/*/{MANIFEST}")
    return {
        f"{p.parents[1].name}/{p.parents[0].name}": read_manifest(p.parent, Ref(*p.parts[-3:-1]))
        for p in found
    }


def lasting(manifest: Manifest) -> list[StoredFile]:
    return [file for file in manifest.files if not file.name.startswith(CLOCKED)]


def test_two_machines_make_what_one_makes_byte_for_byte(
    birdflow: Any,
    whole_run: Any,
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    url: str,
    cluster: str,
) -> None:
    def run(machine: str, **environment: str) -> Any:
        out = tmp_path / f"{machine}-out"
        places = ("--data", tiny_data, "--store", url, "--out", out)
        return birdflow(
            *("run", tiny_recipe, *places),
            BIRDFLOW_CACHE_DIR=str(tmp_path / machine),
            **environment,
        )

    done = run("flow", BIRDFLOW_TASKS=f"dask={cluster}")
    assert done.returncode == 0, done.stdout + done.stderr
    expected = artifacts(whole_run.store)
    made = {name: artifacts(next((tmp_path / name).iterdir())) for name in ("one", "two")}
    everything = made["one"] | made["two"]
    assert everything.keys() == expected.keys()
    for name, manifest in expected.items():
        assert lasting(everything[name]) == lasting(manifest), name
    # Each made what it has not fetched, and there is nothing that both made.
    published = [(tmp_path / f"{name}.published").read_text().split() for name in ("one", "two")]
    mine, yours = ({"/".join(Path(line).parts[-2:]) for line in lines} for lines in published)
    assert mine
    assert yours
    assert not mine & yours
    assert mine | yours == expected.keys()

    again = run("other")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "23 steps, 23 cached, 0 to run" in again.stdout
    for machine in ("flow", "other"):
        submission = tmp_path / f"{machine}-out" / "submission.csv"
        assert submission.read_bytes() == (whole_run.out / "submission.csv").read_bytes()
