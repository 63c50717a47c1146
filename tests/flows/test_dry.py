"""`birdflow collect --dry-run`: what would be fetched is told, and no file is fetched."""

from collections import Counter
from typing import Any, TypeAlias

import pytest

from birdcore.collect.folder import collected
from birdcore.collect.record import parse_record
from birdcore.collect.refusal import KEY_NAME
from flows.cli import main

Said: TypeAlias = pytest.CaptureFixture[str]


def table(said: Said) -> tuple[dict[str, list[str]], str]:
    """Rows by species, each recordings, hours, MB, licences; and what is said below."""
    head, *rows, below = said.readouterr().out.splitlines()
    assert [part.strip() for part in head.split("  ") if part.strip()] == [
        "species", "recordings", "hours", "MB, about", "licences",
    ]  # fmt: skip
    parts = [[part.strip() for part in row.split("  ") if part.strip()] for row in rows]
    return {name: numbers for name, *numbers in parts}, below


def test_what_would_be_fetched_is_told_and_nothing_is(site: Any, capsys: Said) -> None:
    slow = ("--set", "xeno_canto.per_second=0.1")
    assert main(site.arguments("collect", "--dry-run", *slow)) == 0
    rows, below = table(capsys)
    records = [parse_record(raw) for raw in site.records]
    species = Counter(record.scientific_name for record in records)
    assert {name: int(row[0]) for name, row in rows.items()} == {**species, "all": len(records)}
    seconds = sum(record.length_s or 0 for record in records)
    assert rows["all"][1] == f"{seconds / 3600:.2f}"
    assert rows["all"][2] == f"{seconds * 16_000 / 1e6:.0f}"
    assert set(rows["all"][3].split(", ")) == {record.licence for record in records}
    assert below == (
        "14 wanted, 0 there or not to be had, 0 left out; 14 requests at 0.1 a second take "
        "2.3 minutes or more"
    )
    assert site.asked == {"search": 1}
    assert collected(site.collection) == {}


def test_a_second_look_asks_nobody_and_counts_what_is_left_out(site: Any, capsys: Said) -> None:
    assert main(site.arguments("collect", "--dry-run")) == 0
    asked = site.asked
    capsys.readouterr()
    few = ("--set", "xeno_canto.per_species=2", "--set", 'xeno_canto.without=["nc"]')
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


@pytest.mark.usefixtures("prefect_server")
def test_what_is_there_is_not_counted(site: Any, capsys: Said) -> None:
    assert main(site.arguments()) == 0
    capsys.readouterr()
    assert main(site.arguments("collect", "--dry-run")) == 0
    rows, below = table(capsys)
    assert rows["all"][:3] == ["0", "0.00", "0"]
    assert below.startswith("14 wanted, 14 there or not to be had, 0 left out; 0 requests")
