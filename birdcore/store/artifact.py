"""Steps and artifacts: a piece of work, and its result.

A step reads artifacts and makes one: a folder of files with a manifest. Its key is a hash of all
that decides the content (stage, version, settings, inputs), so the same key is the same artifact in
every run and on every machine, and what has been made need not be made again.
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
"""Stages and keys: they are names of folders in a store."""

Metrics: TypeAlias = Mapping[str, Any]
Progress: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True, order=True)
class Ref:
    """The name of an artifact, which is all that is passed between tasks.

    Raises:
        ValueError: A part is no name of a folder, and could lead out of a store.

    Example:
        >>> Ref("mel", "3f9c" * 16).key[:4]
        '3f9c'
        >>> Ref.named("mel/3f9c") == Ref("mel", "3f9c")
        True
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
        """The artifact of two folders of a store, None where these are something else."""
        return cls(stage, key) if NAME.fullmatch(stage) and NAME.fullmatch(key) else None

    @classmethod
    def named(cls, name: str) -> "Ref":
        """The artifact `stage/key`, as manifests write it."""
        stage, _, key = name.partition("/")
        return cls(stage, key)


@dataclass(frozen=True)
class Step:
    """One piece of work, known in full before anything runs.

    Stage, version, config, inputs and files decide the key; name, root, defaults and places do not.
    Settings that are as in `defaults` are no part of the key either: a setting that a later version
    of birdflow adds, and that is off, changes no key. So a default never changes without the
    stage's version.

    Attributes:
        stage: Which stage does it.
        version: Of the stage; raised whenever its output changes.
        name: What a person sees.
        config: The part of the recipe that the stage reads.
        inputs: The artifacts that it reads, by their role.
        files: The raw files that it reads: path under `root`, and sha256 of the content.
        root: Where the raw files lie.
        defaults: Values of settings that a recipe need not give.
        places: Where other files lie, by what they are to the stage; their sha256 is in `config`.

    Example:
        >>> plain = Step("mel", 4, "mel 0000", {"n_mels": 128})
        >>> added = Step("mel", 4, "mel 0000", {"n_mels": 128, "pcen": False},
        ...              defaults={"pcen": False})
        >>> plain.key == added.key
        True
    """

    stage: str
    version: int
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[Ref, ...]:
        """All artifacts that it reads, in the order of its inputs."""
        return tuple(ref for refs in self.inputs.values() for ref in refs)

    @cached_property
    def key(self) -> str:
        """sha256 in hexadecimal over everything that decides the artifact's content."""
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
    """The settings that differ from their default or have none, key by key in tables.

    Example:
        >>> differing({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 0}})
        {'b': {'d': 3}}
    """
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
    """JSON in one form: tuples are lists, keys are sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class StoredFile:
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact is, what it was made of, and which files it has.

    `inputs` are `stage/key` by role, `sources` sha256 of raw files by path, `made_at` a time in
    ISO 8601 and UTC, `took_s` seconds.
    """

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

    @property
    def reads(self) -> tuple[Ref, ...]:
        """All artifacts that it was made of, in the order of its inputs."""
        return tuple(Ref.named(name) for names in self.inputs.values() for name in names)


@dataclass(frozen=True)
class Artifact:
    """A published artifact, whose files are only read.

    Example:
        >>> pq.read_table(artifact / "recordings.parquet")  # doctest: +SKIP
        >>> artifact.metrics["recordings"]  # doctest: +SKIP
    """

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
