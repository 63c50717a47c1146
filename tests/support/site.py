"""Fixtures of collecting, for flows and drills: an archive on loopback, and a client's folders."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdcore.archives import pacing
from birdcore.archives.errors import KEY_NAME
from birdcore.demo.folder import DemoSettings
from birdcore.demo.uploads import write_uploads
from birdcore.store.files import write_text
from tests.support.archive import KEY, Faults, Served, serve

RECIPE = Path(__file__).parents[1] / "recipes" / "tiny-pretrain.toml"


@pytest.fixture(scope="session")
def pretrain_recipe() -> Path:
    """The tiny recipe with a round on an archive's recordings before."""
    return RECIPE


@pytest.fixture(scope="session")
def uploads(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive's folder: three species that `tiny_data` does not have, and two leaks."""
    root = tmp_path_factory.mktemp("uploads") / "archive"
    write_uploads(root, tiny_data, DemoSettings(species=9, recordings_per_species=4))
    return root


@dataclass(frozen=True)
class Site:
    """An archive with a client's folders."""

    shelf: Path
    served: Served
    faults: Faults
    data: Path
    folder: Path

    def arguments(self, command: str = "collect", *more: object) -> list[str]:
        out = ["--out", self.folder / "out"] if command == "run" else []
        places = ["--store", self.folder / "store", "--collection", self.collection, *out]
        site = f'xeno_canto.site="{self.served.url}"'
        known = [command, RECIPE, "--data", self.data, *places, "--set", site]
        return [*map(str, [*known, *more])]

    @property
    def collection(self) -> Path:
        return self.folder / "collection"

    @property
    def asked(self) -> Counter[str]:
        """Requests so far, by what they were for."""
        paths = [path for _, path, _ in self.served.log]
        return Counter("file" if path.endswith("/download") else "search" for path in paths)

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(json.loads((self.shelf / "recordings.json").read_text()))

    def lists(self, records: Sequence[dict[str, Any]]) -> None:
        write_text(self.shelf / "recordings.json", json.dumps(records))


def counts(said: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What `birdflow collect` says last: wanted, left_out, fetched, bytes, not_there; and where its
    tables are."""
    *lines, tables = said.readouterr().out.splitlines()[-6:]
    assert all(Path(path).is_file() for path in tables.removeprefix("tables").strip().split(", "))
    return {name: int(count) for name, count in map(str.split, lines)}


@pytest.fixture(scope="session")
def open_site(tiny_data: Path, uploads: Path) -> Callable[..., Any]:
    """A context in which the uploads are served, and `tiny_data` is the competition's."""

    @contextmanager
    def opened(folder: Path, *kinds: str, key: str = KEY) -> Iterator[Site]:
        """`kinds`: every request goes wrong in one of these ways."""
        shelf = Path(shutil.copytree(uploads, folder / "shelf"))
        rng = np.random.default_rng(0)
        faults = Faults(rate=float(bool(kinds)), rng=rng, kinds=kinds)  # type: ignore[arg-type]
        with serve(shelf, key=key, faults=faults) as served:
            yield Site(shelf, served, faults, tiny_data, folder)

    return opened


@pytest.fixture
def site(
    open_site: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv(KEY_NAME, KEY)
    with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture
def in_haste(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries, whose number stays."""
    from tasks.archive import download, search

    monkeypatch.setattr(pacing, "LONGEST_S", 0.01)
    for task in (search, download):
        monkeypatch.setattr(task, "retry_delay_seconds", 0)


HASTY = """
import json, os, shutil, sys
from birdcore.archives import pacing, quota
from flows import cli, terminal
from flows.commands import execute

pacing.LONGEST_S = 0.01
def quiet_and_hasty(debug):
    terminal.quiet_prefect(debug)  # before Prefect is imported
    from tasks.archive import download, search
    download.retry_delay_seconds = search.retry_delay_seconds = 0
execute.quiet_prefect = quiet_and_hasty
usage = shutil.disk_usage
for at, (key, full, arguments) in enumerate(json.load(sys.stdin)):
    os.environ.pop("XENO_CANTO_KEY", None)
    if key is not None:
        os.environ["XENO_CANTO_KEY"] = key
    quota.shutil.disk_usage = (lambda path: usage(path)._replace(free=0)) if full else usage
    code = cli.main(arguments)
    print(f"\\n<end of {at}: {code}>\\n", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="session")
def commands(prefect_server: str) -> Callable[..., list[tuple[int, str]]]:
    """Run commands in one process, without waiting between tries: the code and words of each.

    A command is (key or None, whether the disk is full, arguments).
    """

    def run(*given: tuple[str | None, bool, list[str]]) -> list[tuple[int, str]]:
        done = subprocess.run(
            [sys.executable, "-c", HASTY],
            input=json.dumps(given),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("PREFECT_LOGGING")},
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        said, rest = [], done.stdout
        for at in range(len(given)):
            words, _, rest = rest.partition(f"\n<end of {at}: ")
            code, _, rest = rest.partition(">\n")
            said.append((int(code), words))
        said[-1] = said[-1][0], said[-1][1] + rest  # what Prefect says as the process ends
        return said

    return run
