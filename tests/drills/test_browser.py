"""Prefect's page in a real browser: only the printed address logs in without typing.

A drill, because a browser needs some ten seconds for each of five pages.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from prefect import flow

from flows.login import entrance
from flows.server import LOGINS, ui_of

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@flow(name="seen-in-the-browser")
def some_flow() -> None:
    """A flow for the page to show."""


def page(address: str, profile: Path) -> str:
    """The document that a browser shows at an address once its scripts have run."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(CHROMIUM)} is installed")
    # As root, and in most containers, its sandbox can't start.
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000"]
    shown = subprocess.run(
        [program, *options, f"--user-data-dir={profile}", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_page_opens_with_the_login_address_only(prefect_server: str, tmp_path: Path) -> None:
    some_flow()
    origin, login = ui_of(prefect_server), LOGINS[prefect_server]
    assert "#" not in origin  # output that is no terminal names no login
    visitor = page(f"{origin}/", tmp_path / "visitor")
    assert "Login" in visitor
    assert "Work Pools" not in visitor
    runs = f"{origin}/v2/runs"
    assert "Work Pools" in page(entrance(origin, login), tmp_path / "mine")
    assert "seen-in-the-browser" in page(runs, tmp_path / "mine")  # the browser remembers
    assert "seen-in-the-browser" not in page(runs, tmp_path / "visitor")
    wrong = page(entrance(origin, "birdflow:wrong"), tmp_path / "wrong")
    assert "Work Pools" not in wrong
