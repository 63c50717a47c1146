"""`birdflow collect --dry-run`: what would be fetched is told, and no file is fetched."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from birdcore.archives.errors import KEY_NAME
from birdcore.archives.folder import collected
from birdcore.archives.record import parse_record
from birdcore.demo.archive import KEY
from flows import terminal
from flows.cli import main
from flows.dry_run import about_bytes

pytestmark = pytest.mark.xdist_group("server_settings")
Said: TypeAlias = pytest.CaptureFixture[str]


def table(said: Said) -> tuple[dict[str, list[str]], str]:
    """Rows by species, each recordings, hours, MB, licences; and what is said below."""
    head, *rows, below = said.readouterr().out.splitlines()
    assert [part.strip() for part in head.split("  ") if part.strip()] == [
        "species", "recordings", "hours", "MB, about", "licences",
    ]  # fmt: skip
    parts = [[part.strip() for part in row.split("  ") if part.strip()] for row in rows]
    return {name: numbers for name, *numbers in parts}, below


@pytest.fixture(autouse=True)
def no_line_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first import of Prefect takes over two seconds, and says so, on some machines only."""
    monkeypatch.setattr(terminal, "SILENT_S", 600.0)


def test_what_would_be_fetched_is_told_and_nothing_is(site: Any, capsys: Said) -> None:
    slow = ("--set", "xeno_canto.per_second=0.1")
    assert main(site.arguments("collect", "--dry-run", *slow)) == 0
    rows, below = table(capsys)
    records = [parse_record(raw) for raw in site.records]
    species = Counter(record.scientific_name for record in records)
    assert {name: int(row[0]) for name, row in rows.items()} == {**species, "all": len(records)}
    seconds = sum(record.length_s or 0 for record in records)
    assert rows["all"][1] == f"{seconds / 3600:.2f}"
    assert rows["all"][2] == f"{seconds * 32_000 / 1e6:.0f}"
    assert set(rows["all"][3].split(", ")) == {record.licence for record in records}
    assert below == (
        "14 wanted, 0 there or not to be had, 0 left out; 14 requests at 0.1 a second take "
        "about 2.4 minutes"
    )
    assert site.asked == {"search": 1}
    assert collected(site.collection) == {}


@pytest.mark.parametrize("suffix", [".mp3", ".flac"])
def test_real_recordings_have_about_so_many_bytes(shared_data: Path, suffix: str) -> None:
    folder = shared_data / "xeno-canto"
    files = {path.stem: path.stat().st_size for path in (folder / "audio").glob(f"*{suffix}")}
    listed = map(parse_record, json.loads((folder / "recordings.json").read_text()))
    guess = sum(about_bytes(record) for record in listed if f"XC{record.id}" in files)
    assert guess == pytest.approx(sum(files.values()), rel=0.05)


def test_what_is_not_packed_grows_with_the_rate() -> None:
    slow, fast = (
        parse_record({"id": 1, "length": "0:10", "file-name": "a.wav", "smp": rate})
        for rate in (44_100, 96_000)
    )
    assert (about_bytes(slow), about_bytes(fast)) == (1_764_000, 3_840_000)
    assert about_bytes(parse_record({"id": 1, "file-name": "a.wav"})) == 0


def test_a_second_look_asks_nobody_and_counts_what_is_left_out(
    site: Any, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(site.arguments("collect", "--dry-run")) == 0
    monkeypatch.delenv(KEY_NAME)
    monkeypatch.setitem(sys.modules, "tasks.archive", None)  # nor does it look for a key
    asked = site.asked
    capsys.readouterr()
    few = ("--set", "xeno_canto.per_species=2", "--set", 'xeno_canto.exclude_licenses=["nc"]')
    assert main(site.arguments("collect", "--dry-run", *few)) == 0
    rows, below = table(capsys)
    fitting = [r for r in map(parse_record, site.records) if "nc" not in r.licence]
    species = Counter(record.scientific_name for record in fitting)
    wanted = {name: min(2, count) for name, count in species.items()}
    count = sum(wanted.values())
    assert {name: int(row[0]) for name, row in rows.items()} == {**wanted, "all": count}
    assert below.startswith(f"{count} wanted, 0 there or not to be had, {14 - count} left out;")
    assert site.asked == asked


def test_what_is_wrong_is_told_in_a_line(
    site: Any, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (None, "another"):
        monkeypatch.delenv(KEY_NAME, raising=False)
        if key:
            monkeypatch.setenv(KEY_NAME, key)
        assert main(site.arguments("collect", "--dry-run")) == 1
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("birdflow: ")
        assert f"set {KEY_NAME}" in line


def names_both_ways(said: Said) -> bool:
    """Whether all that was said is one line, on how the key can be given."""
    out, err = said.readouterr()
    (line,) = err.splitlines()
    return not out and f"set {KEY_NAME}" in line and "Secret block xeno-canto-key" in line


def test_no_server_is_started_for_the_key(
    site: Any, capsys: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (KEY_NAME, "PREFECT_API_URL", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "tasks.archive", None)  # to import it would be an error
    assert main(site.arguments("collect", "--dry-run")) == 1
    assert names_both_ways(capsys)


def test_a_server_that_is_down_has_no_key(
    site: Any, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = "http://127.0.0.1:9/api"
    monkeypatch.delenv(KEY_NAME)
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_settings({PREFECT_API_URL: url}):
        assert main(site.arguments("collect", "--dry-run")) == 1
    assert names_both_ways(capsys)


@pytest.fixture
def block(prefect_server: str) -> Iterator[str]:
    from prefect.blocks.system import Secret

    from tasks.archive import SECRET

    Secret(value=KEY).save(SECRET, overwrite=True)
    yield SECRET
    Secret.delete(SECRET)


def test_the_key_of_a_secret_block_is_used_and_not_told(
    site: Any,
    block: str,
    capsys: Said,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.blocks.system import Secret

    monkeypatch.delenv(KEY_NAME)
    assert main(site.arguments("collect", "--dry-run", "--debug")) == 0
    assert site.asked == {"search": 1}
    said = capsys.readouterr()
    files = [path.read_bytes() for path in site.collection.rglob("*") if path.is_file()]
    assert files
    assert KEY.encode() not in repr((said, caplog.text)).encode() + b"".join(files)
    Secret.delete(block)
    again = ("--set", "xeno_canto.search_age_h=0")
    assert main(site.arguments("collect", "--dry-run", *again)) == 1
    assert names_both_ways(capsys)
    Secret(value=KEY).save(block)


@pytest.mark.usefixtures("prefect_server")
def test_what_is_there_is_not_counted(site: Any, capsys: Said) -> None:
    assert main(site.arguments()) == 0
    capsys.readouterr()
    assert main(site.arguments("collect", "--dry-run")) == 0
    rows, below = table(capsys)
    assert rows["all"][:3] == ["0", "0.00", "0"]
    assert below.startswith("14 wanted, 14 there or not to be had, 0 left out; 0 requests")
