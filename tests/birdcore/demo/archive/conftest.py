"""A folder that an archive can serve: invented records, and bytes for audio."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import requests

from birdcore.demo.archive import KEY
from tests.support.records import generated

SONG = bytes(range(256)) * 40
Ask: TypeAlias = Callable[..., requests.Response]


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return generated(230, seed=5)


@pytest.fixture
def folder(tmp_path: Path, records: list[dict[str, Any]]) -> Path:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / f"XC{records[0]['id']}.mp3").write_bytes(SONG)
    (tmp_path / "recordings.json").write_text(json.dumps(records))
    return tmp_path


@pytest.fixture
def song() -> bytes:
    """The bytes of the first record's file."""
    return SONG


@pytest.fixture
def ask() -> Ask:
    """A search with the right key."""

    def get(url: str, query: str, **more: object) -> requests.Response:
        given = {"query": query, "key": KEY, **more}
        return requests.get(f"{url}/api/3/recordings", params=given, timeout=10)

    return get
