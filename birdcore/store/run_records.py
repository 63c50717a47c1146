"""The files of runs' records: what stands in them, who may have written them, who is alive.

    store/runs/20261125-201500-mini.json    the record, written as the run begins and as it ends
    store/runs/20261125-201500-mini.lock    held by the run's process: one that died lets go of it

A store may be shared, so what stands in a record is checked as it is read, and a link is never
followed. Who did write it is asked where it is to be acted on.
"""

import json
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AliasChoices, ConfigDict, Field, StringConstraints, TypeAdapter

from birdcore.store.artifact import Ref
from birdcore.store.files import write_text
from birdcore.store.locks import is_locked
from birdcore.store.store import Store

FOLDER = "runs"
MOST_BYTES = 64 << 20
"""A record of 100,000 steps has a fifth of this."""
State: TypeAlias = Literal["running", "completed", "failed", "stopped", "died"]


def _also(*names: str) -> Any:
    """A field of a record that versions up to 0.1 wrote under another name."""
    return Field(validation_alias=AliasChoices(*names))


Stage: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]
Key: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class RunRequest:
    """What a person, a schedule or a form asked for: all that it takes to ask again.

    Paths are absolute (`run_request` makes them so); records of earlier versions have
    relative ones.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    recipe: str
    data: str
    out: str
    collection: str = "collection"
    settings: tuple[str, ...] = ()
    only: str | None = None
    from_stage: Annotated[str | None, _also("from_stage", "since")] = None
    refresh: tuple[str, ...] = ()
    until: str | None = None

    @property
    def title(self) -> str:
        """The recipe's name and what differs from it, in a line."""
        parts = [Path(self.recipe).stem, *self.settings]
        parts += [f"only {self.only}"] if self.only else []
        parts += [f"from {self.from_stage}"] if self.from_stage else []
        parts += [f"until {self.until}"] if self.until else []
        parts += [f"refresh {what}" for what in self.refresh]
        return ", ".join(parts)

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is a run of: two runs of one subject make the same, or a later form of it.

        Neither what is in the recipe nor where results go: an edited recipe is a later form.
        """
        places = (self.recipe, self.data, self.collection)
        return (*(str(Path(location).absolute()) for location in places), *self.settings)


def run_request(
    recipe: str | Path,
    data: str | Path,
    out: str | Path,
    collection: str | Path = "collection",
    settings: Sequence[str] = (),
    only: str | None = None,
    from_stage: str | None = None,
    refresh: Sequence[str] = (),
    until: str | None = None,
) -> RunRequest:
    """What is asked for here and now: the same from whatever folder it is asked again."""
    recipe, data, out, collection = (
        str(Path(location).absolute()) for location in (recipe, data, out, collection)
    )
    return RunRequest(
        recipe, data, out, collection, tuple(settings), only, from_stage, tuple(refresh), until
    )


@dataclass(frozen=True)
class Run:
    """One run; `failed` has the reason by step, and `began` is when it began first.

    Times are texts in ISO 8601 and UTC, which sort as times do.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    request: Annotated[RunRequest, _also("request", "asked")]
    began: str
    steps: tuple[tuple[str, Stage, Key], ...]
    """Name, stage and key of all steps of its DAG; none before that is known."""
    flow_run: str | None = None
    """Prefect's id of it, where it has one."""
    state: State = "running"
    ended: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    resumed: str | None = None
    """When it began last, if that is not when it began first."""
    cwd: str = ""
    """Its working directory, from which a recipe's own paths lead."""

    @property
    def refs(self) -> Sequence[Ref]:
        return [Ref(stage, key) for _, stage, key in self.steps]

    @property
    def latest(self) -> str:
        """When it began last."""
        return self.resumed or self.began


def record_path(store: Store, name: str) -> Path:
    return store.root / FOLDER / f"{name}.json"


def lock_path(store: Store, name: str) -> Path:
    return store.root / FOLDER / f"{name}.lock"


def write_record(store: Store, run: Run) -> None:
    """Nobody else may write to it, whatever the umask: a record is acted on by `retry`."""
    write_text(record_path(store, run.name), json.dumps(asdict(run), indent=1) + "\n")
    record_path(store, run.name).chmod(0o644)


def read_record(store: Store, name: str) -> Run:
    """The run of that name, as it stands now.

    Raises OSError or ValueError where there is no such record, or it is none.
    """
    with _opened(record_path(store, name)) as handle:
        return _parsed(store, name, handle)


def read_own_record(store: Store, name: str) -> Run:
    """The run of that name, if this user and nobody else can have written its record.

    Raises ValueError with the reason where it is somebody else's.
    """
    path = record_path(store, name)
    with _opened(path) as handle:
        if reason := _foreign(os.fstat(handle)):
            raise ValueError(f"{path} {reason}, so it may ask for anything in your name")
        return _parsed(store, name, handle)


def is_alive(store: Store, name: str) -> bool:
    """Whether a process has the run's lock."""
    return is_locked(lock_path(store, name))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """An ordinary file's handle: no link is followed, and no FIFO waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{path} is no ordinary file")
        yield handle
    finally:
        os.close(handle)


def _parsed(store: Store, name: str, handle: int) -> Run:
    with open(handle, "rb", closefd=False) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"the record of {name} has more than {MOST_BYTES} bytes")
    run = _adapter().validate_json(content)
    if run.name != name:  # it would be removed under its own word
        raise ValueError(f"the record of {name} says that it is of {run.name}")
    return run if run.state != "running" or is_alive(store, name) else replace(run, state="died")


@cache
def _adapter() -> TypeAdapter[Run]:
    return TypeAdapter(Run)


def _foreign(info: os.stat_result) -> str:
    """Why others than this user may have written a file, or nothing."""
    if info.st_uid != os.geteuid():
        try:
            owner = pwd.getpwuid(info.st_uid).pw_name
        except KeyError:
            owner = f"user {info.st_uid}"
        return f"is {owner}'s"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others than you (mode {stat.S_IMODE(info.st_mode):o})"
    return ""
