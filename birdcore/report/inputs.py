"""What the report reads: the artifacts of a run by their roles, and its settings, typed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birdcore.config import Round
from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.features.front_end import FrontEnd, from_settings
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.provenance import StageInfo
from birdcore.store.store import Store


@dataclass(frozen=True)
class ReportSettings:
    """The settings that the page uses; `tables` holds all of them by table, to be printed, and
    `teachers` those of the external teachers by their names."""

    seed: int
    mel: FrontEnd
    rounds: tuple[Round, ...]
    members: tuple[str, ...]
    truth: str
    segment_s: int
    tables: Mapping[str, Any]
    teachers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> "ReportSettings":
        """From the config of a step of the stage `report`, as its `settings_of` writes it."""
        mel = {name: value for name, value in config["mel"].items() if name != "dtype"}
        teachers = config.get(EXTERNAL_TEACHER, {})
        if isinstance(teachers.get("teacher"), str):  # the table of the only one
            teachers = {EXTERNAL_TEACHER: teachers}
        return cls(
            seed=config["seed"],
            mel=from_settings(mel),
            rounds=tuple(Round(name=name, **one) for name, one in config["round"].items()),
            members=tuple(config["ensemble"]["members"]),
            truth=config["score"]["truth"],
            segment_s=config["predict"]["segment_s"],
            tables={name: part for name, part in config.items() if name not in ("seed", "round")},
            teachers=teachers,
        )


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts of one run.

    Attributes:
        catalogs: the competition's and, where a round reads it, that of the collection.
        cleaned: shards of the stage `clean` by subset of recordings.
        mels: shards of the recordings that are evaluated.
        models: trained models by round.
        score: None where the data has no truth.
        readable: recordings of which the page may show sound.
        locate: path of a recording's audio file on this machine.
        folder: where files beside the page are written.
    """

    settings: ReportSettings
    store: Store
    stages: Mapping[str, StageInfo]
    catalogs: Sequence[Artifact]
    cleaned: Mapping[str, Sequence[Artifact]]
    mels: Sequence[Artifact]
    models: Mapping[str, Sequence[Artifact]]
    ensemble: Artifact
    submission: Artifact
    score: Artifact | None
    readable: Sequence[str]
    locate: Callable[[str], Path]
    folder: Path

    @property
    def evaluated(self) -> list[Artifact]:
        """The shards of `clean` that the mels of the evaluated recordings were made of."""
        refs = {Ref.named(name) for mel in self.mels for name in mel.manifest.inputs["clean"]}
        return [shard for shards in self.cleaned.values() for shard in shards if shard.ref in refs]
