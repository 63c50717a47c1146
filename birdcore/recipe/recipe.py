"""The recipe's tables, all but the rounds, and how they must fit each other."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from birdcore.mel.spec import PRESETS, MelSpec
from birdcore.recipe.complaint import WrongSetting, nearest
from birdcore.recipe.round import Round
from birdcore.recipe.section import Count, Name, Output, Positive, Seconds, Section, Share
from birdcore.recipe.xeno_canto import XenoCanto


class Shards(Section):
    recordings: Count = 128
    """Recordings in a new shard; recordings that have a shard stay there."""


class Clean(Section):
    remove: Literal["all", "none"] | Share = "all"
    """"all" speech, "none", or the recordings' share in which speech is cut (9th place: half)."""
    margin_s: Seconds = 0.3
    fade_s: Seconds = 0.02
    threshold: Share = 0.5
    min_speech_s: Seconds = 0.25
    min_silence_s: Seconds = 0.1
    min_kept_s: Seconds = 0.5
    """Pieces between cuts that are shorter than this go with the cuts."""
    min_duration_s: Seconds = 0.5
    """A training recording with less left after cleaning is rejected."""
    max_rejected: Share = 0.5
    """A shard of which more is rejected fails: then something else is wrong."""


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


class Ensemble(Section):
    members: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Rounds whose models are weighed; all rounds, if not said."""
    weights: Literal["nnls", "mean", "rank"] = "nnls"


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


class Score(Section):
    truth: str = "test_soundscapes_labels.csv"
    """Where it lies in the data, the submission and each round are scored against it."""
    bootstrap: Count = 1000


class Recipe(Section):
    """What to build."""

    name: Name = "recipe"
    seed: Annotated[int, Field(ge=0)] = 0
    shards: Shards = Shards()
    clean: Clean = Clean()
    mel: Mel = Mel(preset="config_128")
    folds: Folds = Folds()
    xeno_canto: XenoCanto | None = None
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
        return tuple(r for r in self.round if r.data == "birdclef")

    @property
    def collects(self) -> XenoCanto | None:
        """What is wanted of Xeno-canto, where a round trains on it."""
        uses = any(one.data == "xeno-canto" for one in self.round)
        return self.xeno_canto if uses else None

    def folds_of(self, one: Round) -> tuple[int, ...]:
        return self.folds.trained if one.folds is None else one.folds

    @model_validator(mode="after")
    def _rounds_are_known(self) -> "Recipe":
        earlier: list[str] = []
        for at, one in enumerate(self.round):
            for key in ("start", "teacher"):
                wanted = getattr(one, key)
                if wanted is not None and wanted not in earlier:
                    raise WrongSetting(_no_round(wanted, earlier, "earlier "), "round", at, key)
            if one.name in earlier:
                raise WrongSetting("an earlier round has this name", "round", at, "name")
            if one.name == "ensemble":
                raise WrongSetting(
                    "the ensemble's scores have this name: choose another", "round", at, "name"
                )
            earlier.append(one.name)
        for at, member in enumerate(self.members):
            if member not in earlier:
                raise WrongSetting(_no_round(member, earlier), "ensemble", "members", at)
        return self

    @model_validator(mode="after")
    def _data_fit(self) -> "Recipe":
        heard = {r.name for r in self.heard}
        if not heard:
            raise WrongSetting(
                'no round learns the competition\'s classes: add one with data = "birdclef"',
                "round",
            )
        for at, one in enumerate(self.round):
            if one.data == "xeno-canto" and self.xeno_canto is None:
                raise WrongSetting("needs a table [xeno_canto]", "round", at, "data")
            if one.teacher is not None and not {one.teacher, one.name} <= heard:
                raise WrongSetting(
                    "a teacher and its student know the competition's classes; this is Xeno-canto",
                    "round", at, "teacher",
                )  # fmt: skip
            folds = self.folds_of(one)
            if one.teacher is not None and one.label.teachers == "own":
                taught = self.folds_of(next(r for r in self.round if r.name == one.teacher))
                if not set(folds) <= set(taught):
                    raise WrongSetting(
                        f"{one.teacher!r} has no model of each of this round's folds",
                        "round", at, "label", "teachers",
                    )  # fmt: skip
            if max(folds) >= self.folds.count:
                raise WrongSetting(
                    f"name folds from 0 to {self.folds.count - 1}", "round", at, "folds"
                )
            if len(set(folds)) < len(folds):
                raise WrongSetting("a fold is named twice", "round", at, "folds")
        for at, member in enumerate(self.ensemble.members or ()):
            if member not in heard:
                raise WrongSetting(
                    "does not know the competition's classes", "ensemble", "members", at
                )
        return self

    @model_validator(mode="after")
    def _starts_fit(self) -> "Recipe":
        rounds = {r.name: r for r in self.round}
        for at, one in enumerate(self.round):
            if one.start is not None and one.backbones != rounds[one.start].backbones:
                theirs = ", ".join(rounds[one.start].backbones)
                raise WrongSetting(
                    f"needs the backbones of {one.start!r}: {theirs}", "round", at, "backbones"
                )
            # A model of another fold has learnt what this one is validated on, and hands it on
            # through rounds of other data.
            before, lacking = one, None
            while before.start is not None:
                before = rounds[before.start]
                if not set(self.folds_of(one)) <= set(self.folds_of(before)):
                    lacking = lacking or before.name
                if lacking is not None and before.data == one.data:
                    raise WrongSetting(
                        f"must be among the folds of {lacking!r}, from which it starts",
                        "round", at, "folds",
                    )  # fmt: skip
        return self


def _no_round(name: str, rounds: Sequence[str], kind: str = "") -> str:
    there_are = f"There are {', '.join(rounds)}" if rounds else "This is the first"
    return f"no {kind}round has this name{nearest(name, rounds) or '.'} {there_are}"
