"""`birdflow status` and `birdflow retry`: what is said of runs, and which is asked for again."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdcore.store.artifact import Step
from birdcore.store.run_records import Run, RunRequest, record_path
from birdcore.store.runs import recorded, runs
from birdcore.store.store import Store
from flows.cli import main
from flows.status import failures, took

STEPS = [Step("mel", 1, "mel train_audio/0000")]
REQUEST = RunRequest("/recipes/mini.toml", "/data", "/out", "/birds")
Say = Callable[..., list[str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def say(store: Store, capsys: pytest.CaptureFixture[str]) -> Say:
    """Lines that a command says, in words that one space parts."""

    def said(*arguments: str, code: int = 0) -> list[str]:
        assert main([*arguments, "--store", str(store.root)]) == code
        answer = capsys.readouterr()
        assert "Traceback" not in answer.err
        return [" ".join(line.split()) for line in (answer.out + answer.err).splitlines()]

    return said


def record_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunRequest, str, Path]]:
    """From now on note what is asked for, in which store and where, instead of running it."""
    found: list[tuple[RunRequest, str, Path]] = []
    monkeypatch.setattr(
        "flows.commands.run.execute",
        lambda asked, location, **_: found.append((asked, location, Path.cwd())),
    )
    monkeypatch.chdir(Path.cwd())  # to come back
    return found


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunRequest, str, Path]]:
    return record_runs(monkeypatch)


def fail(store: Store, request: RunRequest = REQUEST, reason: str = "no data") -> str:
    with suppress(ValueError), recorded(store, request) as run:
        raise ValueError(reason)
    return run.name


def change(store: Store, name: str, **fields: Any) -> None:
    path = record_path(store, name)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def run_of(**fields: Any) -> Run:
    return replace(Run("a", REQUEST, "2026-11-25T20:00:00+00:00", (), state="failed"), **fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ended": "2026-11-25T20:00:59+00:00"}, "0:00:59"),
        ({"ended": "2026-11-26T19:59:59+00:00"}, "23:59:59"),
        ({"ended": "2026-11-26T21:00:05+00:00"}, "1 day, 1:00:05"),
        ({"ended": "2026-12-05T20:00:00+00:00"}, "10 days, 0:00:00"),
        ({"ended": "2026-11-25T19:00:00+00:00"}, "0:00:00"),  # the clock was set back
        ({"ended": "2026-11-25T21:00:00+01:00"}, "0:00:00"),
        ({"ended": "2026-11-28T20:00:07+00:00", "resumed": "2026-11-28T20:00:00+00:00"}, "0:00:07"),
        ({"ended": None, "state": "died"}, ""),
        ({"ended": "yesterday"}, ""),
        ({"ended": "2026-11-25T20:00:00"}, ""),
    ],
)
def test_how_long_a_run_took(fields: dict[str, Any], said: str) -> None:
    assert took(run_of(**fields)) == said


def test_a_run_that_goes_on_says_how_long_so_far() -> None:
    began = (datetime.now(UTC) - timedelta(days=2, minutes=3)).isoformat(timespec="seconds")
    assert took(run_of(began=began, state="running")).startswith("2 days, 0:03:")


def test_what_goes_on_stands_first_also_where_it_began_long_ago(store: Store, say: Say) -> None:
    old = [fail(store, replace(REQUEST, data=f"/{at}")) for at in range(3)]
    change(store, old[1], began="2026-01-01T00:00:00+00:00", flow_run="one")
    with recorded(store, replace(REQUEST, data="/1"), flow_run="one") as run:
        change(store, run.name, resumed="2026-01-02T00:00:00+00:00")
        lines = say("status", "--last", "2")
        assert lines[1].startswith(f"{old[1]} mini running ")
        assert len(lines[: lines.index("")]) == 3
        assert lines[lines.index("") + 1] == f"{old[1]}: mini"


@pytest.mark.parametrize(
    ("change_of", "reason"),
    [
        ({"data": "nowhere"}, "there is no such data folder"),
        ({"set": "mel.n_mel=32"}, "mel.n_mel"),
        ({"only": "mels"}, "no stage mels: did you mean mel?"),
        ({"only": "mel"}, "mel reads "),
        ({"refresh": "mel:9999"}, "no step of mel has the name '9999'"),
    ],
)
def test_what_fails_before_any_work_is_in_status_with_its_reason(
    store: Store, say: Say, tiny_data: Path, tiny_recipe: Path, tmp_path: Path,
    change_of: dict[str, str], reason: str,
) -> None:  # fmt: skip
    request = {"recipe": str(tiny_recipe), "data": str(tiny_data)} | change_of
    recipe = request.pop("recipe")
    options = [word for name, value in request.items() for word in (f"--{name}", value)]
    say("run", recipe, *options, "--out", str(tmp_path / "out"), code=1)
    (run,) = runs(store)
    assert run.state == "failed"
    assert reason in run.failed[""]
    lines = say("status")
    assert any(line.startswith(f"{run.name} ") and " failed " in line for line in lines)
    assert any(line.startswith("the run: ") and reason in line for line in lines)
    assert lines[-1] == f"to go on: birdflow retry {run.name} --store {store.root}"


@pytest.mark.parametrize("command", ["run", "collect", "plan"])
def test_a_recipe_that_is_not_there_makes_no_store(
    command: str, tiny_data: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert main([command, "NOSUCH", "--data", str(tiny_data), "--store", str(store)]) == 1
    assert not store.exists()


def test_a_server_that_does_not_start_is_in_status(
    store: Store, say: Say, tiny_data: Path, tiny_recipe: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from flows.server import ServerError

    def server(*_: object) -> None:
        raise ServerError("the Prefect server did not start")

    monkeypatch.setattr("flows.server.server", server)
    monkeypatch.setattr("flows.commands.execute.quiet_prefect", lambda debug: None)
    asked = ["run", str(tiny_recipe), "--data", str(tiny_data), "--out", str(tmp_path / "out")]
    say(*asked, code=1)
    (run,) = runs(store)
    assert (run.state, run.failed) == ("failed", {"": "the Prefect server did not start"})


def test_a_plan_is_no_run(store: Store, say: Say, tiny_data: Path, tiny_recipe: Path) -> None:
    say("plan", str(tiny_recipe), "--data", str(tiny_data))
    assert runs(store) == []


def test_retry_says_all_that_it_asks_for_and_asks_for_it_where_it_was_asked(
    store: Store, say: Say, ran: list[tuple[RunRequest, str, Path]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    request = replace(
        REQUEST, settings=("seed=1",), from_stage="mel", refresh=("mel:0003", "train")
    )
    monkeypatch.chdir(here)
    name = fail(store, request)
    monkeypatch.chdir(there)
    lines = say("retry")
    assert lines == [
        f"retry of {name}, which failed",
        "recipe /recipes/mini.toml",
        "data /data",
        "out /out",
        "collection /birds",
        f"store {store.root}",
        "set seed=1",
        "from mel",
        "refresh mel:0003",
        "refresh train",
    ]
    assert ran == [(request, str(store.root), here)]


def test_retry_of_the_latest_says_why_not(
    store: Store, say: Say, ran: list[tuple[RunRequest, str, Path]]
) -> None:
    failed = fail(store)
    change(store, failed, began="2026-01-01T00:00:00+00:00")
    with recorded(store, replace(REQUEST, data="/other")) as run:
        assert say("retry", code=1) == [f"birdflow: {run.name} goes on: there is nothing to retry"]
    assert say("retry", code=1) == [
        f"birdflow: the latest run, {run.name}, ended well; the last that did not is {failed}: "
        "name it to retry it"
    ]
    assert ran == []
    say("retry", failed)
    assert [request.data for request, _, _ in ran] == ["/data"]


def test_retry_of_a_run_that_failed_before_it_had_steps_repeats_that_run(
    store: Store,
    say: Say,
    tmp_path: Path,
    tiny_recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recorded(store, REQUEST, STEPS):
        pass
    change(store, runs(store)[0].name, began="2026-01-01T00:00:00+00:00")
    say("run", str(tiny_recipe), "--data", "gone", "--out", str(tmp_path), code=1)
    ran = record_runs(monkeypatch)
    say("retry")
    assert [request.data for request, _, _ in ran] == [str(Path("gone").absolute())]


def test_a_record_that_others_may_have_written_is_refused(
    store: Store, say: Say, ran: list[tuple[RunRequest, str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fail(store)
    owner = record_path(store, name).stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    (line,) = say("retry", name, code=1)
    assert line.startswith(f"birdflow: {record_path(store, name)} is ")
    assert "in your name" in line
    assert ran == []


HOSTILE = "a\nagain    forged\x1b[31m\x9b2J\u202e[red]"


def test_what_a_record_says_is_shown_as_text(
    store: Store, capsys: pytest.CaptureFixture[str], ran: list[tuple[RunRequest, str, Path]]
) -> None:
    request = RunRequest(
        f"/{HOSTILE}.toml", HOSTILE, HOSTILE, settings=(HOSTILE,), refresh=(HOSTILE,)
    )
    fail(store, request, reason=HOSTILE)
    with recorded(store, REQUEST, [Step("mel", 1, HOSTILE)]):
        for arguments in (["status"], ["status", runs(store)[0].name]):
            assert main([*arguments, "--store", str(store.root)]) == 0
    change(store, runs(store)[0].name, began="2026-01-01T00:00:00+00:00")
    assert main(["retry", "--store", str(store.root)]) == 0
    said = capsys.readouterr().out
    assert not {c for c in said if not c.isprintable()} - {"\n"}
    assert "[red]" in said
    assert not [line for line in said.splitlines() if line.startswith("retry of forged")]


def test_each_line_of_a_reason_is_one(store: Store) -> None:
    said = failures(store, run_of(failed={"": "a.toml:1: wrong\na.toml:2: worse"}))
    assert said.splitlines()[:2] == ["the run: a.toml:1: wrong", "  a.toml:2: worse"]


def test_a_run_is_retried_though_the_folder_where_it_was_asked_for_is_gone(
    store: Store, say: Say, ran: list[tuple[RunRequest, str, Path]]
) -> None:
    change(store, fail(store), cwd="/gone/long/ago")
    say("retry")
    assert [place for _, _, place in ran] == [Path.cwd()]
