"""`birdflow ui`: one process per store, and who sees the login (the page: tests/drills)."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from flows.login import login_of
from flows.server import ServerError, home_of, ui_of
from flows.ui import serve_ui

LOGIN = "birdflow:secretsecretsecretsec"


def test_only_a_terminal_is_told_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:1/api"
    assert ui_of(url, LOGIN) == "http://127.0.0.1:1"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ui_of(url, LOGIN) == "http://127.0.0.1:1/enter#secretsecretsecretsec"
    assert ui_of("http://prefect.example/api") == "http://prefect.example"


def test_a_login_is_made_once_and_what_is_none_is_refused(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    login = login_of(home)
    assert login_of(home) == login != login_of(home_of(tmp_path / "other"))
    (home / "login").write_text("birdflow:\n")
    with pytest.raises(ValueError, match="holds no login"):
        login_of(home)


def test_a_second_one_on_a_store_says_where_the_first_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.ui._end_in_good_order", lambda: None)  # this process has its own
    holder = (
        "import fcntl, sys; lock = open(sys.argv[1], 'r+'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "print(flush=True); sys.stdin.read()"
    )
    lock = home_of(tmp_path) / "ui.lock"
    lock.write_text(json.dumps({"pid": 4711, "url": "http://127.0.0.1:4277/api"}))
    with subprocess.Popen(
        ["python3", "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout
        first.stdout.readline()
        with pytest.raises(
            ServerError, match=r"already: http://127\.0\.0\.1:4277 \(process 4711\)"
        ):
            serve_ui(tmp_path, 4200)
        first.kill()


def test_a_store_whose_server_another_account_prepared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prefect").mkdir(mode=0o777)
    nobody = os.getuid() + 1
    monkeypatch.setattr("birdcore.store.private.os.getuid", lambda: nobody)
    with pytest.raises(ServerError, match=r"another account.*PREFECT_API_URL"):
        home_of(tmp_path)
