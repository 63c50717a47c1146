"""The recipe's rounds: what each trains, from which data, and from which earlier rounds."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from birdcore.config.backbone_names import refuse_source
from birdcore.config.probe import ProbeSettings
from birdcore.config.section import Count, Name, Output, Positive, Section, Share
from birdcore.config.training import LabelSelection, TrainSettings
from birdcore.config.validation_errors import WrongSetting

NO_BACKBONE = "must be a list of at least 1, each text in quotes"


class LabelSettings(Section):
    """How a teacher's predictions for one shard become labels."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    threshold: Share = 0.0
    """Segments whose best probability is below are left out (winners: .3 to .5)."""
    high: Share = 0.5
    low: Share = 0.5
    """Only probabilities of at least `high` or at most `low` count (10th place: .7 and .3)."""
    output: Output = "framewise"
    step_s: Positive | None = None
    """Hop between the teacher's windows; the hop between segments, if not given."""
    zero_below: Share = 0.0
    """Probabilities below are set to 0 (2nd place: .1)."""
    power: Positive = 1.0
    """Probabilities to this power (1st place: 1, then 1.54, 1.82, 1.67)."""

    @model_validator(mode="after")
    def _ordered(self) -> "LabelSettings":
        if self.low > self.high:
            raise WrongSetting(f"must not be above high, which is {self.high:g}", "low")
        return self


class LabelConfig(LabelSettings):
    """One label step: the settings, the length of its segments, and the external teacher's part."""

    segment_s: Positive
    external_weight: Share | tuple[Share, ...] = 0.0
    """Of the only one that labels, or of each."""

    @property
    def external_weights(self) -> tuple[float, ...]:
        """The weight of each external teacher that labels."""
        weight = self.external_weight
        return weight if isinstance(weight, tuple) else (weight,)


class PseudoLabels(LabelSettings, LabelSelection):
    """How a teacher's predictions become labels of a student."""

    renamed: ClassVar[dict[str, str]] = {
        "of": "source",
        "below": "zero_below",
        "keep": "keep_fraction",
        "cap": "max_label_sum",
        "outside": "external_weight",
    }

    source: Literal["soundscapes", "clips", "both"] = "soundscapes"
    """What the teacher labels: soundscapes, the labelled recordings, or both."""
    teachers: Literal["own", "all", "out-of-fold"] = "own"
    """own: a student's teachers are the models of its own fold, which were not trained on its
    validation recordings. all: the models of all folds; better labels, and an optimistic
    validation. out-of-fold: each recording is labelled by the models that were not trained on it;
    soundscapes have folds as well, and do not train the student of theirs (2nd place)."""

    external_weight: Share | dict[str, Share] = 0.0
    """Weight of the external teacher's predictions beside those of the round's teacher, which has
    the rest. Of several, a number is the weight of their mean, and a table has weights by name,
    such as { birdnet = 0.3, perch = 0.2 }. A species has the labels of those that know it: their
    weights are then scaled up to the same sum."""
    segment_s: Positive | None = None
    """5 s, or as long as the round's crops where these are shorter, if not given."""
    unannotated: Literal["unknown", "teacher"] = "unknown"
    """Of recordings that somebody annotated in part, such as soundscapes with a verdict of
    `birdflow review`, the classes and segments of which nobody says anything: left out, or labelled
    by the teacher as in soundscapes, among which these recordings then are; those held out are
    not."""


LABEL_DEFAULTS: dict[str, object] = {**PseudoLabels().model_dump(), "segment_s": 5.0}
"""Settings of labels that the provenance of an artifact leaves out where they are as here."""


class Round(TrainSettings):
    """One training round: a model for each backbone and fold."""

    renamed: ClassVar[dict[str, str]] = {
        "learns": "objective",
        "start": "init_from",
        "start_with": "init_weights",
        "times": "iterations",
        "first_s": "max_start_s",
        "final_rate": "min_lr",
        "soup": "average_top_k",
        "clip": "clip_pooling",
    }

    name: Name
    data: Literal["birdclef", "xeno-canto", "inaturalist"] = "birdclef"
    """Labelled recordings of the data folder, or those of [xeno_canto] (2nd place 2025) or
    [inaturalist]."""
    backbones: tuple[Annotated[str, AfterValidator(refuse_source)], ...] = ()
    """At least one, but for a probe, which has none. Names of timm; or `conv_gru` and
    `transformer_1d`, which read bins as channels of a sequence, and `conv_wave`, which reads raw
    samples (mel.features = ["wave"]): `birdflow backbones` lists them, with their speed on this
    machine."""
    weights: str | None = None
    """A local file of pretrained weights, instead of timm's download."""
    folds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    """Folds that get a model in this round; those of [folds], if not given."""
    init_from: str | None = None
    """An earlier round whose weights this one starts from; of other data, the backbone's only."""
    teacher: str | None = None
    """An earlier round that labels the soundscapes, or "external_teacher", the teacher of
    [external_teacher], or the name of one of several; every labelled clip is mixed with one."""
    embeddings_of: str | None = None
    """The external teacher whose embeddings a round of objective = "embeddings" or "probe" reads;
    where there is one alone, it need not be said."""
    iterations: Count = 1
    """How often the round is repeated, each taught by the one before (5th place: 4 to 5)."""
    label: PseudoLabels = PseudoLabels()
    probe: ProbeSettings = ProbeSettings()

    @property
    def names(self) -> tuple[str, ...]:
        """Its name in each of its `iterations`; the last one has the round's own."""
        return (*(f"{self.name}-{at}" for at in range(1, self.iterations)), self.name)

    @field_validator("backbones")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("objective") != "probe":
            raise WrongSetting(NO_BACKBONE)
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Round":
        if self.objective == "probe":
            self._check_probe()
        elif "probe" in self.model_fields_set and self.probe != ProbeSettings():
            raise WrongSetting('is read by objective = "probe" alone', "probe")
        elif not self.backbones:
            raise WrongSetting(NO_BACKBONE, "backbones")
        if self.weights is not None and not self.pretrained:
            raise WrongSetting("needs pretrained = true", "weights")
        if (self.label.segment_s or 0) > self.crop_s:
            raise WrongSetting(f"must not be above crop_s, {self.crop_s:g}", "label", "segment_s")
        if self.padding.fill == "floor" and self.normalise != "floor":
            raise WrongSetting('needs normalise = "floor"', "padding", "fill")
        if self.targets != "hard" and (self.teacher is None or self.label.source == "soundscapes"):
            raise WrongSetting('needs a teacher, and label.source = "clips" or "both"', "targets")
        if self.label.unannotated == "teacher" and self.label.source == "clips":
            raise WrongSetting(
                'needs label.source = "soundscapes" or "both"', "label", "unannotated"
            )
        if self.init_from is not None and self.pretrained:
            raise WrongSetting("does not go with pretrained = true: take one of them", "init_from")
        if self.label_offset and self.label_smoothing:
            raise WrongSetting("does not go with label_smoothing: take one of them", "label_offset")
        if self.shift.probability and self.shift.max_s > self.crop_s:
            said = "max_s" if "max_s" in self.shift.model_fields_set else "probability"
            raise WrongSetting(
                f"max_s, {self.shift.max_s:g} s, must not be above crop_s, {self.crop_s:g} s",
                "shift", said,
            )  # fmt: skip
        if self.embeddings_of is not None and self.objective == "labels":
            raise WrongSetting(
                'is read by objective = "embeddings" or "probe" alone', "embeddings_of"
            )
        if self.objective == "embeddings":
            self._check_embeddings()
        if self.iterations > 1 and self.teacher is None:
            raise WrongSetting("needs a teacher: what is repeated is to be taught", "iterations")
        if self.init_weights == "backbone" and self.init_from is None:
            raise WrongSetting("needs init_from, a round to start from", "init_weights")
        if self.mixup.labels == "losses" and self.mixup.probability and self.sumix.probability:
            raise WrongSetting('does not go with mixup.labels = "losses"', "sumix", "probability")
        if self.crops == "overlapping" and self.loud_crops:
            raise WrongSetting('goes with crops = "random" only', "loud_crops")
        self._check_head()
        return self

    def _check_head(self) -> None:
        if self.head == "gem" and self.clip_pooling == "logit":
            raise WrongSetting(
                'does not go with head = "gem", which averages features: leave it out, or choose '
                'head = "mean"', "clip_pooling",
            )  # fmt: skip
        if self.head != "logmeanexp" and self.head_sharpness != TrainSettings().head_sharpness:
            raise WrongSetting(
                f'is of head = "logmeanexp" alone, and this round has head = "{self.head}"',
                "head_sharpness",
            )

    def _check_probe(self) -> None:
        for key in ("teacher", "init_from"):
            if getattr(self, key) is not None:
                raise WrongSetting('does not go with objective = "probe"', key)
        if self.data != "birdclef":
            raise WrongSetting('must be "birdclef" for objective = "probe"', "data")
        if self.probe.prior_share != "held-out" and self.probe.prior != "added":
            raise WrongSetting(
                f'is of prior = "added" alone, and this probe has prior = "{self.probe.prior}": '
                'leave it out, or say "held-out" where the base has a number',
                "probe", "prior_share",
            )  # fmt: skip
        if self.probe.solver == "logistic":
            if self.probe.hidden:
                raise WrongSetting(
                    'must be 0 for solver = "logistic", which fits a linear probe',
                    "probe", "hidden",
                )  # fmt: skip
            if self.probe.pool == "attention":
                raise WrongSetting(
                    'must be "max" or "mean" for solver = "logistic", which learns no attention',
                    "probe", "pool",
                )  # fmt: skip
            if not self.weight_decay:
                raise WrongSetting(
                    'must be above 0 for probe.solver = "logistic": there is no optimum without',
                    "weight_decay",
                )

    def _check_embeddings(self) -> None:
        """An embedding is of a crop as recorded, so only weighted mixes of two are allowed."""
        if self.teacher is not None:
            raise WrongSetting('does not go with objective = "embeddings"', "teacher")
        if self.mixup.probability and self.mixup.labels != "soft":
            raise WrongSetting('must be "soft" for objective = "embeddings"', "mixup", "labels")
        if self.sumix.probability:
            raise WrongSetting('does not go with objective = "embeddings"', "sumix", "probability")
        for key in ("shift", "padding"):
            if getattr(self, key).probability:
                raise WrongSetting('does not go with objective = "embeddings"', key, "probability")
        for key in ("reverse", "flip_frequency"):
            if getattr(self, key):
                raise WrongSetting('does not go with objective = "embeddings"', key)
