"""Steps and artifacts: what a piece of work is, and what it made.

A step reads artifacts and publishes one: a folder of files with a manifest. Its key is a hash of
what the artifact means (stage, version, settings, inputs), so that the same key is the same thing
in every run and on every machine.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AliasChoices, Field

MANIFEST = "manifest.json"
NAME = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
"""What a stage and a key look like: they are folders of a store."""

Metrics: TypeAlias = Mapping[str, Any]
Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True, order=True)
class Ref:
    """The name of an artifact: all that travels between tasks.

    Raises ValueError for what is no name, as it may lead out of a store.
    """

    stage: str
    key: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.stage) or not NAME.fullmatch(self.key):
            name = f"{self.stage}/{self.key}"
            raise ValueError(f"{name[:80]!r} is no name of an artifact, which is STAGE/KEY")

    def __str__(self) -> str:
        return f"{self.stage}/{self.key[:12]}"

    @classmethod
    def of(cls, stage: str, key: str) -> "Ref | None":
        """The one of two folders of a store, None where they are of something else."""
        return cls(stage, key) if NAME.fullmatch(stage) and NAME.fullmatch(key) else None

    @classmethod
    def named(cls, name: str) -> "Ref":
        """The one that a manifest calls `stage/key`."""
        stage, _, key = name.partition("/")
        return cls(stage, key)


@dataclass(frozen=True)
class Step:
    """One piece of work, known in full before anything runs.

    `config` is the part of the recipe that the stage reads, `inputs` the artifacts and `files`
    the raw files (path under `root`: sha256 of the content). These, with stage and version,
    decide the key; `name` (what a person sees) and `root` (where the raw files lie) do not.

    `defaults` are those settings of the config that a recipe need not say, as they are then. Of
    these only what differs is in the key: a setting that a later birdflow adds, and that is off,
    makes nothing anew. So a default never changes without the stage's version.
    """

    stage: str
    version: int
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """sha256 in hexadecimal over everything that decides what the artifact means."""
        meaning = {
            "stage": self.stage,
            "version": self.version,
            "config": differing(self.config, self.defaults),
            "inputs": {k: [[r.stage, r.key] for r in refs] for k, refs in self.inputs.items()},
            "files": self.files,
        }
        return hashlib.sha256(_canonical(meaning).encode()).hexdigest()

    @property
    def ref(self) -> Ref:
        return Ref(self.stage, self.key)


def differing(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not as by default, key by key in tables; all that have no default."""
    found = {}
    for name, value in config.items():
        default = defaults.get(name)
        # A table that lacks what it has by default differs as a whole.
        if (
            isinstance(value, Mapping)
            and isinstance(default, Mapping)
            and default.keys() <= value.keys()
        ):
            if inner := differing(value, default):
                found[name] = inner
        elif name not in defaults or _canonical(value) != _canonical(default):
            found[name] = value
    return found


def _canonical(value: Any) -> str:
    """As JSON in one spelling: a tuple is a list, a table is in no order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class StoredFile:
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact is, from what it was made, and what it holds."""

    stage: str
    version: int
    key: str
    name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, list[str]]
    sources: Mapping[str, str]
    files: tuple[StoredFile, ...]
    metrics: Annotated[Metrics, Field(validation_alias=AliasChoices("metrics", "facts"))]
    """What `run` returned; manifests of versions up to 0.1 call them facts."""
    made_at: str
    took_s: float


@dataclass(frozen=True)
class Artifact:
    """A published artifact; its files may be read and never written."""

    folder: Path
    manifest: Manifest

    @property
    def ref(self) -> Ref:
        return Ref(self.manifest.stage, self.manifest.key)

    @property
    def metrics(self) -> Metrics:
        return self.manifest.metrics

    def __truediv__(self, name: str) -> Path:
        return self.folder / name
