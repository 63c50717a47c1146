"""The recipe's tables, all but the rounds, and how they must fit each other."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from birdcore.audio.rules import CleaningRules
from birdcore.config.round import Round
from birdcore.config.section import Count, Name, Output, Positive, Seconds, Section, Share
from birdcore.config.validation import rounds_fit
from birdcore.config.validation_errors import WrongSetting, nearest
from birdcore.config.xeno_canto import XenoCanto
from birdcore.features.mel import PRESETS, MelSpec


class Shards(Section):
    recordings: Count = 128
    """Recordings in a new shard; recordings that have a shard stay there."""


class Clean(CleaningRules, Section):
    """How training recordings are cleaned: see `birdcore.audio.rules`."""


class Mel(Section):
    """A preset, or its numbers, or a preset with other numbers."""

    preset: str | None = None
    sample_rate: Count | None = None
    n_fft: Count | None = None
    hop_length: Count | None = None
    n_mels: Count | None = None
    f_min: Seconds | None = None
    f_max: Positive | None = None
    power: Literal[1, 2] | None = None
    mel_scale: Literal["htk", "slaney"] | None = None
    dtype: Literal["uint8", "float16"] = "uint8"

    def spec(self) -> MelSpec:
        """The numbers; raises WrongSetting for an unknown preset or numbers that don't fit."""
        if self.preset is not None and self.preset not in PRESETS:
            raise WrongSetting(
                f"no such preset{nearest(self.preset, list(PRESETS)) or '.'} "
                f"There are {', '.join(PRESETS)}",
                "preset",
            )
        base = PRESETS[self.preset].model_dump() if self.preset else {}
        own = self.model_dump(exclude={"preset", "dtype"}, exclude_none=True)
        try:
            return MelSpec(**{**base, **own})
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            # The first setting that the message names and that the recipe sets is to blame.
            named = [word for word in re.findall(r"\w+", text) if word in own]
            raise WrongSetting(text, *named[:1]) from None

    @model_validator(mode="after")
    def _numbers_fit(self) -> "Mel":
        self.spec()
        return self


class Folds(Section):
    count: Annotated[int, Field(ge=2)] = 5
    train: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Which folds get a model (each is validated on its own recordings); all, if not said."""

    @property
    def trained(self) -> tuple[int, ...]:
        return tuple(range(self.count)) if self.train is None else self.train

    @model_validator(mode="after")
    def _folds_exist(self) -> "Folds":
        if not self.trained or max(self.trained) >= self.count:
            raise WrongSetting(f"name folds from 0 to {self.count - 1}, at least one", "train")
        if len(set(self.trained)) < len(self.trained):
            raise WrongSetting("a fold is named twice", "train")
        return self


class ExternalTeacher(Section):
    """A model of other people's that teaches: an extra, `pip install 'birdflow[birdnet]'`."""

    teacher: Literal["birdnet"] = "birdnet"
    """BirdNET V2.4, CC BY-NC-SA 4.0: so is what learns from it."""
    hop_s: Annotated[float, Field(gt=0, le=3)] = 1.5
    """From window to window, which are 3 s long."""


class Ensemble(Section):
    members: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Rounds whose models are weighed; all rounds, if not said. "external_teacher" is the
    teacher of [external_teacher] itself, whose model is then needed to predict as well."""
    weights: Literal["auto", "mean", "nnls", "nnls-by-class"] = "auto"
    """All alike (mean), or by least squares on held-out recordings, over all classes or for each;
    auto: all alike, unless least squares surely hold out better."""
    blend: Literal["mean", "power", "rank"] | None = None
    """A weighted mean of probabilities, of their powers (power), or of ranks within a class. If not
    said, of probabilities; under weights = "auto" of ranks, where these surely hold out better."""
    power: Positive = 2.0
    """What blend = "power" takes: the higher, the more the surest member says."""

    @field_validator("weights", mode="before")
    @classmethod
    def _ranks_are_blended(cls, value: object) -> object:
        if value == "rank":
            raise WrongSetting('is a way to blend: write weights = "mean" and blend = "rank"')
        return value


class Predict(Section):
    output: Output = "framewise"
    step_s: Positive = 2.5
    """From window to window; a window is as long as the round's crops."""
    segment_s: Count = 5
    """Length of a row; whole seconds, since rows are named by their end."""
    gaussian: Annotated[float, Field(ge=0)] = 0.0
    """Sigma, in rows of 5 s, of a smoothing over time."""
    neighbours: bool = False
    """Smoothing with [.1 .2 .4 .2 .1] (1st place)."""
    delta_shift: Share = 0.0
    """Share of the rows two before and two after (1st place: .5)."""
    file_maximum: Share = 0.0
    """Share of a class's maximum in the recording (1st place 2026: .2)."""


class Score(Section):
    truth: str = "test_soundscapes_labels.csv"
    """Where it lies in the data, the submission and each round are scored against it."""
    bootstrap: Count = 1000


class Recipe(Section):
    """What to build."""

    renamed: ClassVar[dict[str, str]] = {"outside": "external_teacher"}
    name: Name = "recipe"
    seed: Annotated[int, Field(ge=0)] = 0
    shards: Shards = Shards()
    clean: Clean = Clean()
    mel: Mel = Mel(preset="config_128")
    folds: Folds = Folds()
    xeno_canto: XenoCanto | None = None
    external_teacher: ExternalTeacher | None = None
    round: Annotated[
        tuple[Round, ...],
        Field(min_length=1, description="a list of tables, each under its own [[round]]"),
    ]
    ensemble: Ensemble = Ensemble()
    predict: Predict = Predict()
    score: Score = Score()

    @property
    def members(self) -> tuple[str, ...]:
        return self.ensemble.members or tuple(r.name for r in self.heard)

    @property
    def heard(self) -> tuple[Round, ...]:
        """The rounds that know the competition's classes: they predict, label and are weighed."""
        return tuple(r for r in self.round if r.data == "birdclef" and r.objective == "labels")

    @property
    def collects(self) -> XenoCanto | None:
        """What is wanted of Xeno-canto, where a round trains on it."""
        uses = any(one.data == "xeno-canto" for one in self.round)
        return self.xeno_canto if uses else None

    def folds_of(self, one: Round) -> tuple[int, ...]:
        return self.folds.trained if one.folds is None else one.folds

    @model_validator(mode="after")
    def _rounds_fit(self) -> "Recipe":
        rounds_fit(self)
        return self
