"""The recipe's tables, all but the front end and the rounds, and how they must fit each other."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from birdcore.audio.rules import CleaningRules
from birdcore.config.after_prediction import AfterPrediction, by_group, check_after_prediction
from birdcore.config.archive import Criteria
from birdcore.config.data import Data, FurtherSource
from birdcore.config.external_teacher import ExternalTeacher
from birdcore.config.inaturalist import INaturalist
from birdcore.config.mel import Mel
from birdcore.config.round import Round
from birdcore.config.section import Count, Name, Output, Positive, Section, Share
from birdcore.config.teaching import check_labels
from birdcore.config.validation import check_rounds
from birdcore.config.validation_errors import WrongSetting
from birdcore.config.xeno_canto import XenoCanto


class Shards(Section):
    recordings: Count = 128
    """Recordings in a new shard; recordings that have a shard stay there."""


class Clean(CleaningRules, Section):
    """How training recordings are cleaned: see `birdcore.audio.rules`."""


class Folds(Section):
    """Group k-fold (HMS 2024: by patient): recordings of one author, one site and day, and copies
    of one recording are in one fold. What folds without groups would say was not measured."""

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
    """Rounds whose models are weighed; all rounds, if not said. "external_teacher", or the name of
    one of several, is that teacher itself, whose model is then needed to predict as well."""
    weights: Literal["auto", "mean", "nnls", "nnls-by-class"] = "auto"
    """All alike (mean), or by least squares on held-out recordings, over all classes or for each;
    auto: all alike, unless least squares surely hold out better. Non-negative least squares (HMS
    2024) were .020 ± .006 below the mean here, fitted on 19 held-out clips, and far above it where
    one member, BirdNET, was far better (.931 against .863)."""
    blend: Literal["mean", "power", "rank"] | None = None
    """A weighted mean of probabilities, of their powers (power), or of ranks within a class. If not
    said, of probabilities; under weights = "auto" of ranks, where these surely hold out better."""
    power: Positive = 2.0
    """What blend = "power" takes: the higher, the more the surest member says."""
    held_out: Literal["all", "annotated", "clips"] = "all"
    """What weights are fitted and judged on: windows of annotated recordings, clips, or both alike.
    Where there are none of a kind, all are."""
    taxon_weights: Mapping[str, Mapping[str, Annotated[float, Field(ge=0)]]] = {}
    """Weights of members for the classes of a taxon, in the place of others: { frogs = { long = 2,
    short = 1 } }. Members are named as above, and one that is not named does not count (2nd place
    2026: birds and mammals are short events, frogs and insects long textures)."""

    @field_validator("taxon_weights")
    @classmethod
    def _taxa_once(cls, said: Mapping[str, Mapping[str, float]]) -> Mapping[str, object]:
        return by_group(said)

    @field_validator("weights", mode="before")
    @classmethod
    def _ranks_are_blended(cls, value: object) -> object:
        if value == "rank":
            raise WrongSetting('is a way to blend: write weights = "mean" and blend = "rank"')
        return value


OWN_LABELS = "own_labels"
"""In the context of a recipe's validation: the keys of `label` that each round says itself."""
FormatName: TypeAlias = Literal["csv", "parquet"]
"""Their writers: `birdcore.inference.predictions.WRITERS`."""


class Export(Section):
    onnx: bool = True
    """Export each model to ONNX as soon as it is trained. On a CPU it then labels and predicts by
    OpenVINO or ONNX Runtime, which are faster than torch; results differ by less than 0.0001."""
    int8: bool = False
    """Compute in 8-bit integers on a CPU: for CPUs with AVX512-VNNI or AMX. A model that loses more
    than 0.002 of AUC on its held-out recordings by that computes in float32 as before."""
    bf16: bool = False
    """Compute in bfloat16, by OpenVINO, on CPUs that do so natively (AVX512-BF16, AMX): 1.5 to 2
    times as fast as float32, and probabilities then hang on the CPU in their third digit. A model
    that loses more than 0.002 of AUC by that, or was exported on another CPU, computes in float32
    as before."""

    @model_validator(mode="after")
    def _one_precision(self) -> Self:
        if self.int8 and self.bf16:
            raise WrongSetting("does not go with int8 = true: choose one of them", "bf16")
        return self


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
    threshold: Share | Literal["held-out"] = "held-out"
    """From what probability on a class is there, in submissions that say yes or no: those of 2021
    and 2022. "held-out": where the year's metric is highest, on windows that no model was trained
    on, or clips where there are none; .5 where nothing is held out. One for all classes."""
    formats: tuple[FormatName, ...] = ()
    """In what the ensemble's predictions are written beside the submission: predictions.csv, ..."""


class Score(Section):
    truth: str = "test_soundscapes_labels.csv"
    """Where it lies in the data, the submission and each round are scored against it."""
    bootstrap: Count = 1000


class Recipe(Section):
    """What to build: all tables of a recipe, and its rounds.

    Example:
        >>> recipe = Recipe.model_validate({"round": [{"name": "a", "backbones": ["resnet10t"]}]})
        >>> recipe.folds.trained, recipe.round[0].epochs
        ((0, 1, 2, 3, 4), 30)
    """

    renamed: ClassVar[dict[str, str]] = {"outside": "external_teacher"}
    name: Name = "recipe"
    seed: Annotated[int, Field(ge=0)] = 0
    data: Data = Data()
    source: tuple[FurtherSource, ...] = Field(
        default=(), description="a list of tables, each under its own [[source]]"
    )
    shards: Shards = Shards()
    clean: Clean = Clean()
    mel: Mel = Mel(preset="config_128")
    folds: Folds = Folds()
    xeno_canto: XenoCanto | None = None
    inaturalist: INaturalist | None = None
    external_teacher: tuple[ExternalTeacher, ...] = Field(
        default=(),
        description="a table [external_teacher], or a list of tables, each under its own "
        "[[external_teacher]]",
    )
    round: Annotated[
        tuple[Round, ...],
        Field(min_length=1, description="a list of tables, each under its own [[round]]"),
    ]
    ensemble: Ensemble = Ensemble()
    export: Export = Export()
    predict: Predict = Predict()
    after_prediction: AfterPrediction = AfterPrediction()
    score: Score = Score()

    @property
    def members(self) -> tuple[str, ...]:
        return self.ensemble.members or tuple(r.name for r in self.classifier_rounds)

    @property
    def classifier_rounds(self) -> tuple[Round, ...]:
        """The rounds that know the competition's classes: they predict, label and are weighed."""
        return tuple(r for r in self.round if r.data == "birdclef" and r.objective != "embeddings")

    @property
    def archives(self) -> tuple[Criteria, ...]:
        """What is wanted of public archives."""
        return tuple(each for each in (self.xeno_canto, self.inaturalist) if each is not None)

    @property
    def collects(self) -> tuple[Criteria, ...]:
        """What is wanted of the archives that a round trains on."""
        trained = {r.data for r in self.round}
        return tuple(each for each in self.archives if each.data() in trained)

    def folds_of(self, round_config: Round) -> tuple[int, ...]:
        return self.folds.trained if round_config.folds is None else round_config.folds

    @model_validator(mode="after")
    def _check_rounds(self, info: ValidationInfo) -> "Recipe":
        check_rounds(self)
        if info.context is not None:
            check_labels(self, info.context[OWN_LABELS])
        check_after_prediction(self)
        return self


def expand(recipe: Recipe) -> Recipe:
    """Replace each round of n `iterations` by n rounds: `name-1`, `name-2` ... and `name`.

    Each has the one before as its teacher, and starts from its weights where the first starts from
    those of its teacher. The ensemble is of the last ones, unless the recipe names its members.
    """
    if all(r.iterations == 1 for r in recipe.round):
        return recipe
    rounds = tuple(iteration for r in recipe.round for iteration in _iterations(r))
    members = recipe.ensemble.model_copy(update={"members": recipe.members})
    return recipe.model_copy(update={"round": rounds, "ensemble": members})


def _iterations(round_config: Round) -> list[Round]:
    rounds: list[Round] = []
    for name in round_config.names:
        changes: dict[str, object] = {"name": name, "iterations": 1}
        if rounds:
            changes["teacher"] = rounds[-1].name
            if round_config.init_from == round_config.teacher:
                changes["init_from"] = rounds[-1].name
        rounds.append(round_config.model_copy(update=changes))
    return rounds
