"""Downloads that were cut or killed: the next goes on where they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from birdcore.archives import folder as collection
from birdcore.archives import publish
from birdcore.archives.client import ArchiveError
from birdcore.archives.download import fetch
from birdcore.archives.folder import collected, failures, recording_path
from birdcore.archives.partial import Origin, Partial, held
from tests.support.archive import Fault


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("cut", [200, 206]),
        ("reset", [200, 206]),
        ("length-short", [200, 206]),
        ("length-long", [200, 416]),
    ],
)
def test_only_what_is_missing_is_asked_for(site: Any, kind: str, statuses: list[int]) -> None:
    site.faults.add(Fault(kind))
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == statuses


def test_another_process_goes_on_where_one_was_cut_off(site: Any) -> None:
    site.faults.add(Fault("cut"))
    with pytest.raises(ArchiveError, match=r"XC1: .*tried 1 times"):
        fetch(site.impatient(), site.record(1), site.folder)
    assert site.left() == {"XC1.part", "XC1.json"}
    assert not failures(site.folder)[1].permanent
    fetch(site.impatient(), site.record(1), site.folder)
    assert site.statuses == [200, 206]
    assert failures(site.folder) == {}
    assert site.left() == set()


def test_a_page_in_place_of_the_rest_costs_nothing(site: Any) -> None:
    site.faults.add(Fault("cut"), Fault("html"))
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == [200, 200, 206]


def test_a_recording_that_was_replaced_meanwhile_is_fetched_anew(site: Any) -> None:
    site.faults.add(Fault("cut"))
    with pytest.raises(ArchiveError):
        fetch(site.impatient(), site.record(3), site.folder)
    before = site.original(3)
    site.record_anew("XC3.wav")
    assert len(site.original(3)) == len(before)
    fetched = fetch(site.impatient(), site.record(3), site.folder)
    assert site.statuses == [200, 200]
    assert recording_path(site.folder, fetched).read_bytes() == site.original(3)


@pytest.mark.parametrize(
    ("had", "origin", "statuses"),
    [
        (1.0, '"unsaid"', []),
        (0.5, "", [200]),
        (0.5, None, [200]),
        (0.5, '"of another file"', [200]),
    ],
    ids=["all of it", "no validator", "no origin", "another file"],
)
def test_what_a_killed_process_left_is_used_where_it_can_be(
    site: Any, had: float, origin: str | None, statuses: list[int]
) -> None:
    original, record = site.original(1), site.record(1)
    collection.set_up(site.folder)
    with held(site.folder, 1) as partial:
        partial.append(original[: int(had * len(original))])
        if origin is not None:
            partial.set_origin(Origin(record.file_url or "", origin, len(original)))
    fetched = fetch(site.client, record, site.folder)
    assert recording_path(site.folder, fetched).read_bytes() == original
    assert site.statuses == statuses


def test_a_partial_of_another_address_is_not_gone_on_with(site: Any) -> None:
    collection.set_up(site.folder)
    with held(site.folder, 1) as partial:
        partial.append(b"x" * len(site.original(1)))
        partial.set_origin(Origin("https://b.example", '"tag"', len(site.original(1))))
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == [200]


def test_a_drip_that_takes_too_long_is_left(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdcore.archives.receive.SLOWEST", 1e9)
    site.faults.add(Fault("drip", drip_s=20.0))
    with pytest.raises(ArchiveError, match="not done within"):
        fetch(site.impatient(), site.record(1), site.folder, patience_s=1.2)
    assert 0 < (site.folder / "partial" / "XC1.part").stat().st_size < len(site.original(1))


@pytest.mark.parametrize("note", ["missing", "torn"])
def test_a_recording_without_a_note_is_taken_in(site: Any, note: str) -> None:
    fetched = fetch(site.client, site.record(1), site.folder)
    path = site.folder / "fetched" / "XC1.json"
    path.unlink() if note == "missing" else path.write_text('{"id": 1')
    again = fetch(site.client, site.record(1), site.folder)
    assert replace(again, when=fetched.when) == fetched
    assert site.statuses == [200]
    assert site.left() == set()


class Killed(BaseException):
    """In place of a kill: nothing catches it, and nothing is written after it."""


def killed_in(step: Callable[..., object], call: int, after: bool) -> Callable[..., object]:
    """The step, whose process is killed before or after its call number `call`."""
    calls = 0

    def dies(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls < call:
            return step(*arguments)
        if after:
            step(*arguments)
        raise Killed

    return dies


STEPS = (
    (Partial, "append"),
    (Partial, "set_origin"),
    (Partial, "restart"),
    (Partial, "doubt"),
    (Partial, "remove"),
    (publish, "check"),
    (publish, "sync"),
    (Path, "rename"),
    (collection, "_write"),
)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("place", "step"), STEPS, ids=[step for _, step in STEPS])
def test_killed_before_or_after_any_step_it_goes_on(
    site: Any, monkeypatch: pytest.MonkeyPatch, place: object, step: str, after: bool
) -> None:
    site.faults.add(Fault("length-short"))
    killed = 0
    for call in range(1, 30):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, killed_in(getattr(place, step), call, after))
            try:
                fetch(site.client, site.record(1), site.folder)
            except Killed:
                killed += 1
            else:
                break
        for path in (site.folder / "recordings").iterdir():
            assert path.read_bytes() == site.original(1)
            published = len(site.statuses)
            fetch(site.client, site.record(1), site.folder)
            assert len(site.statuses) == published
    assert killed
    fetched = fetch(site.client, site.record(1), site.folder)
    assert recording_path(site.folder, fetched).read_bytes() == site.original(1)
    assert len(collected(site.folder)) == 1
