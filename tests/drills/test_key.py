"""The archive's key stays where it is needed: it is in nothing that is said, kept or sent on.

Every way to fail is walked with a key that is found again in any disguise, and all that is left is
searched for it: what commands print with --debug, the collection, store and results, and Prefect's
whole home with its database. A drill, because each of 13 commands is a run of a flow.
"""

import base64
import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from birdcore.archives.errors import KEY_NAME
from flows.cli import main
from tests.support.archive import Fault, Kind

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]
CORE = "zQ7vWm4TjRv8xKpL2nYd6Hs"
"""Letters and digits, which no address, quoting or JSON writes otherwise."""
KEY = f"/+{CORE}=& é%41"
WRONG = f"not/{CORE}"


def disguises() -> set[bytes]:
    core = CORE.encode()
    whole = [base64.b64encode(b"x" * at + core).decode() for at in range(3)]
    # Characters in which other bytes have a part are left out.
    inner = {text[4:-4] for text in whole}
    return {form.encode() for form in {CORE, CORE[::-1], core.hex(), *inner}}


FORMS = disguises()


def holds_key(content: bytes) -> bool:
    return any(form in content for form in FORMS)


@pytest.mark.parametrize("at", range(7))
def test_the_key_is_found_in_any_disguise(at: int) -> None:
    hidden = base64.b64encode(b"." * at + KEY.encode() + b"...")
    assert holds_key(hidden)
    assert holds_key(repr(KEY).encode())
    assert not holds_key(b"." * 99)


def with_key(folder: Path, *but: str) -> list[str]:
    """Files below a folder that hold the key; tables are unpacked."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and not {*path.parts} & {*but} and holds_key(unpacked(path))
    ]


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        content += repr((table.schema.metadata, table.to_pylist())).encode()
    return content


def database() -> dict[str, bytes]:
    """All rows of Prefect's database, by table."""
    path = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        names = [
            row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            name: repr(base.execute(f'SELECT * FROM "{name}"').fetchall()).encode()
            for name in names
        }


def nothing_holds_key(folder: Path) -> None:
    assert with_key(folder) == []
    assert [name for name, rows in database().items() if holds_key(rows)] == []
    assert with_key(Path(os.environ["PREFECT_HOME"])) == []


WAYS: tuple[Kind, ...] = (
    "429", "429-retry-after", "503", "html", "cut", "length-short", "length-long", "reset",
)  # fmt: skip
"""How a search fails, whatever is asked for: a query of its own for each."""
OFTEN = 40
"""More than the client and the task together ask for one thing."""


def test_no_way_to_fail_gives_the_key_away(
    open_site: Callable[..., Any],
    commands: Callable[..., list[tuple[int, str]]],
    until: Callable[..., None],
    tmp_path: Path,
) -> None:
    given: list[tuple[str | None, bool, list[str]]] = []
    sites: dict[str, Any] = {}
    with ExitStack() as stack, socket.socket() as free:
        free.bind(("127.0.0.1", 0))

        def add(name: str, *kinds: str) -> Any:
            (tmp_path / name).mkdir()
            sites[name] = stack.enter_context(open_site(tmp_path / name, *kinds, key=KEY))
            return sites[name]

        def fails(site: Any, *more: str, key: str | None = KEY, full: bool = False) -> None:
            given.append((key, full, site.arguments("collect", *more, "--debug")))

        plain = add("plain")
        fails(plain, key=WRONG)
        fails(plain, "--dry-run", key=WRONG)
        given.append((WRONG, False, plain.arguments("run", "--debug")))
        fails(plain, key=None)
        fails(plain, "--set", 'xeno_canto.queries=["nothing:x"]')
        fails(plain, "--set", f'xeno_canto.site="http://127.0.0.1:{free.getsockname()[1]}"')
        fails(plain, full=True)
        searches = add("searches")
        queries = [f"cnt:way{at}" for at in range(len(WAYS))]
        for at, kind in enumerate(WAYS):
            searches.faults.add(*[Fault(kind, f"*way{at}*", retry_after="9999")] * OFTEN)
        fails(searches, "--set", f"xeno_canto.queries={json.dumps(queries)}")
        files = add("files")
        files.faults.add(*[Fault(kind, "*/download") for kind in ("cut", "503", "html")] * OFTEN)
        fails(files)
        gone = add("gone")
        for path in (gone.shelf / "audio").iterdir():
            path.unlink()
        given.append((KEY, False, gone.arguments("collect", "--debug")))
        given.append((KEY, False, plain.arguments("collect", "--debug")))
        said = commands(*given)
        leaked = [path for site in sites.values() for path in site.served.leaked]
    codes = [code for code, _ in said]
    assert codes == [1] * (len(given) - 1) + [0], said
    assert "Traceback" in said[0][1]
    assert {kind for kind, _ in sites["searches"].faults.given} == set(WAYS)
    assert not any(holds_key(words.encode()) for _, words in said)
    assert leaked == []
    assert len(list(plain.collection.glob("recordings/*"))) == len(plain.records)
    # Prefect's server writes down what it hears within a second or two.
    told = (b"does not take the key", b"answers with status 429", b"could not be fetched")
    until(lambda: all(text in b"".join(database().values()) for text in told))
    nothing_holds_key(tmp_path)


@pytest.fixture
def secret() -> Iterator[Callable[[str], None]]:
    """Sets the key as a Prefect Secret block."""
    from prefect.blocks.system import Secret

    def save(key: str) -> None:
        Secret(value=key).save("xeno-canto-key", overwrite=True)

    yield save
    Secret.delete("xeno-canto-key")


@pytest.mark.usefixtures("in_haste")
def test_key_in_secret_block_is_used_and_not_given_away(
    open_site: Callable[..., Any],
    secret: Callable[[str], None],
    until: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(KEY_NAME, raising=False)
    with open_site(tmp_path, key=KEY) as site:
        secret(WRONG)
        assert main(site.arguments("collect", "--debug")) == 1
        refused = "".join(capfd.readouterr())
        assert "does not take the key" in refused
        assert "Traceback" in refused
        secret(KEY)
        assert main(site.arguments("collect", "--debug")) == 0
        came = "".join(capfd.readouterr())
        leaked = site.served.leaked
    assert len(list(site.collection.glob("recordings/*"))) == len(site.records)
    assert not holds_key((refused + came).encode())
    assert leaked == []
    until(lambda: b"does not take the key" in b"".join(database().values()))
    nothing_holds_key(tmp_path)  # the block itself is encrypted
