"""Records of runs: their content and their files. What runs do with them: birdcore/store/runs.py.

    store/runs/20261125-201500-mini.json    the record, written as the run begins and as it ends
    store/runs/20261125-201500-mini.lock    held by the run's process, and free once that has died

A store may be shared, so a record is validated as it is read, and a link is never followed. Before
a record is acted on (`birdflow retry`), its owner is checked as well.
"""

import json
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AliasChoices, ConfigDict, Field, StringConstraints, TypeAdapter

from birdcore.store.artifact import Ref
from birdcore.store.files import read_regular, read_with_owner, write_text
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
    """What a run was started with by a person, a schedule or a form: enough to start it again.

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
        """What tells runs of different things apart: recipe, data, collection and settings.

        Neither the content of the recipe nor the results folder: a run of an edited recipe replaces
        those before it.
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
    """A request with absolute paths, which means the same from every working directory.

    Args:
        recipe: Path of the recipe.
        data: The BirdCLEF+ folder.
        out: Folder for results.
        collection: Folder of recordings of public archives.
        settings: KEY=VALUE over the recipe's own.
        only: Run this stage alone.
        from_stage: This stage and what follows it, made again.
        refresh: STAGE or STAGE:SHARD, made again.
    """
    recipe, data, out, collection = (
        str(Path(location).absolute()) for location in (recipe, data, out, collection)
    )
    return RunRequest(
        recipe, data, out, collection, tuple(settings), only, from_stage, tuple(refresh), until
    )


@dataclass(frozen=True)
class Run:
    """One run. Times are texts in ISO 8601 and UTC, which sort as times do.

    Attributes:
        name: Time and recipe, unique in its store.
        request: What it was started with.
        began: When it began first.
        steps: Name, stage and key of all steps of its DAG; none before that is known.
        flow_run: Prefect's id of it, where it has one.
        state: How it stands or ended.
        ended: When it ended last.
        failed: The reason for each step that failed, or for the run as a whole under "".
        resumed: When it began last, if that is not when it began first.
        cwd: Its working directory, from which a recipe's own paths are resolved.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    request: Annotated[RunRequest, _also("request", "asked")]
    began: str
    steps: tuple[tuple[str, Stage, Key], ...]
    flow_run: str | None = None
    state: State = "running"
    ended: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    resumed: str | None = None
    cwd: str = ""

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
    """Write a record that no other account may change, whatever the umask."""
    write_text(record_path(store, run.name), json.dumps(asdict(run), indent=1) + "\n")
    record_path(store, run.name).chmod(0o644)


def read_record(store: Store, name: str) -> Run:
    """The run of that name, as it stands now.

    Raises:
        OSError: There is no such record.
        ValueError: It is not valid.
    """
    return _parsed(store, name, read_regular(record_path(store, name), MOST_BYTES))


def read_own_record(store: Store, name: str) -> Run:
    """The run of that name, if only this account can have written its record.

    Raises:
        ValueError: Others can have written it, or it is not valid.
    """
    path = record_path(store, name)
    content, info = read_with_owner(path, MOST_BYTES)
    if reason := _foreign(info):
        raise ValueError(f"{path} {reason}, so it may ask for anything in your name")
    return _parsed(store, name, content)


def is_alive(store: Store, name: str) -> bool:
    """Whether a process has the run's lock."""
    return is_locked(lock_path(store, name))


def _parsed(store: Store, name: str, content: bytes) -> Run:
    run = _adapter().validate_json(content)
    if run.name != name:  # its files would be removed under the name that it gives
        raise ValueError(f"the record of {name} says that it is of {run.name}")
    return run if run.state != "running" or is_alive(store, name) else replace(run, state="died")


@cache
def _adapter() -> TypeAdapter[Run]:
    return TypeAdapter(Run)


def _foreign(info: os.stat_result) -> str:
    """Why others than this account may have written a file; empty where only it can have."""
    if info.st_uid != os.geteuid():
        try:
            owner = pwd.getpwuid(info.st_uid).pw_name
        except KeyError:
            owner = f"user {info.st_uid}"
        return f"is {owner}'s"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others than you (mode {stat.S_IMODE(info.st_mode):o})"
    return ""
