"""The recipe's rounds: all that decides how one model is trained."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from birdcore.config.augment import (
    Background,
    Band,
    Filter,
    Mask,
    Mixup,
    Noise,
    Padding,
    Shift,
    Sumix,
)
from birdcore.config.section import Count, Name, Output, Positive, Seconds, Section, Share
from birdcore.config.validation_errors import WrongSetting

Loss: TypeAlias = Literal[
    "bce",
    "focal",
    "bce+focal",
    "cross_entropy",
    "kl",
    "symmetric_kl",
    "soft_auc",
    "halves_auc",
    "hinge_auc",
    "weighted_hinge_auc",
]


class LossSettings(Section):
    gamma: Annotated[float, Field(ge=1)] = 2.0
    """Of the focal losses."""
    temperature: Positive = 1.0
    """Of kl and weighted_hinge_auc."""
    margin: Positive = 1.0
    """Of soft_auc, hinge_auc and weighted_hinge_auc."""
    bce: Annotated[float, Field(ge=0)] = 0.0
    """Weight of BCE beside a loss that ends in _auc: under an order alone, classes without a
    positive collapse."""
    by_rarity: bool = False
    """Whether weighted_hinge_auc weighs classes by how rare they are among the recordings."""


class PseudoLabels(Section):
    """How a teacher's predictions become labels of a student."""

    renamed: ClassVar[dict[str, str]] = {
        "of": "source",
        "below": "zero_below",
        "keep": "keep_fraction",
        "cap": "max_label_sum",
        "outside": "external_weight",
    }

    source: Literal["soundscapes", "clips", "both"] = "soundscapes"
    """What the teacher listens to: unlabelled soundscapes, or the labelled recordings as well."""
    teachers: Literal["own", "all", "out-of-fold"] = "own"
    """For each student its own fold's models alone: then nobody who taught it has ever heard what
    it is validated on. Or models of all folds together: better labels, and a validation that says
    too much. Or for each recording the models that were not trained on it, where soundscapes have
    folds as well, and train no student of theirs (2nd place)."""

    external_weight: Share = 0.0
    """Weight of the external teacher's predictions beside those of the earlier round."""
    segment_s: Positive | None = None
    """5 s, or as long as the round's crops where these are shorter, if not said."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    threshold: Share = 0.0
    """Segments whose best probability is below are left out (winners: .3 to .5)."""
    high: Share = 0.5
    low: Share = 0.5
    """Only probabilities of at least `high` or at most `low` count (10th place: .7 and .3)."""
    output: Output = "framewise"
    step_s: Positive | None = None
    """From window to window of the teacher; as far as from segment to segment, if not said."""
    zero_below: Share = 0.0
    """Probabilities below are taken for 0 (2nd place: .1)."""
    power: Positive = 1.0
    """Probabilities to this power (1st place: 1, then 1.54, 1.82, 1.67)."""
    minmax: bool = False
    """Stretch the labels of each class, over all soundscapes, to 0 to 1 (4th place)."""
    keep_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the segments, those with the highest label sums, that are learnt (4th place: .8)."""
    max_label_sum: Positive | None = None
    """Labels of a segment are scaled down to this sum where theirs is higher (2026: .75)."""

    @model_validator(mode="after")
    def _ordered(self) -> "PseudoLabels":
        if self.low > self.high:
            raise WrongSetting(f"must not be above high, which is {self.high:g}", "low")
        return self


LABEL_DEFAULTS: dict[str, object] = {**PseudoLabels().model_dump(), "segment_s": 5.0}
"""Settings of labels that the provenance of an artifact leaves out where they are as here."""


class Round(Section):
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
    data: Literal["birdclef", "xeno-canto"] = "birdclef"
    """Labelled recordings of the data folder, or those of [xeno_canto] (2nd place 2025)."""
    backbones: Annotated[tuple[str, ...], Field(min_length=1)]
    pretrained: bool = False
    weights: str | None = None
    """A local file of pretrained weights, instead of timm's download."""
    objective: Literal["labels", "embeddings"] = "labels"
    """What birds there are; or an external teacher's embeddings of clips and soundscapes, under a
    cosine loss: a backbone for a round that starts with it (1st place 2026)."""
    folds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    """Folds that get a model in this round; those of [folds], if not said."""
    init_from: str | None = None
    """An earlier round whose weights this one starts from; of other data, the backbone's only."""
    init_weights: Literal["all", "backbone"] = "all"
    """All weights of that round, or the backbone's under a new head."""
    teacher: str | None = None
    """An earlier round that labels the soundscapes, or "external_teacher", the teacher of
    [external_teacher]; every labelled clip is mixed with one."""
    mix: Share = 0.5
    """Constant weight of the soundscape in such a mix (1st place: .5)."""
    mix_share: Share = 1.0
    """Share of clips that are mixed with a pseudo-labelled soundscape (1st place: all)."""
    mix_as: Literal["mix", "replace", "replace-same"] = "mix"
    """A chosen clip is mixed with a soundscape, or gives way to it (5th place: half of all), or to
    one in which the teacher heard the clip's own class (2nd place: .4 of all)."""
    targets: Literal["hard", "soft", "enriched"] = "hard"
    """What crops of clips learn under a teacher that labelled clips: their labels, the teacher's,
    or .7 clip(p [p > .3] + p^2) + .3 hard (5th place)."""
    iterations: Count = 1
    """The round so many times, the second taught by the first and so on (5th place: 4 to 5)."""
    match_power: bool = True
    """Bring clip and soundscape to one mean power before they are mixed."""
    label: PseudoLabels = PseudoLabels()

    epochs: Count = 30
    batch: Annotated[int, Field(ge=2)] = 64
    repeat: Count = 1
    """Crops of each recording in an epoch."""
    min_per_class: Annotated[int, Field(ge=0)] = 0
    """Recordings of rarer classes are repeated up to this number (5th place: 20)."""
    crop_s: Positive = 5.0
    window_s: Positive | None = None
    """Windows of validation, labelling and prediction; as long as the crops, if not said."""
    sampler: Literal["recordings", "classes"] = "recordings"
    """Every recording as often as any other, or every class."""
    min_rating: Annotated[float, Field(ge=0)] = 0.0
    """Recordings rated below are not trained on; those without a rating are."""
    max_start_s: Positive | None = None
    """Crops come from the recording's first seconds only (5th place: 60 and 30)."""
    crops: Literal["random", "overlapping"] = "random"
    """A crop from anywhere in a recording, or all of it in crops that overlap by half."""
    loud_crops: Share = 0.0
    """Probability that the louder of two random crops is taken."""

    learning_rate: Positive = 5e-4
    min_lr: Annotated[float, Field(ge=0)] = 1e-6
    warmup: Share = 0.05
    restart_every: Count | None = None
    """Epochs after which the rate begins anew, with its warm-up (1st place: 5)."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    clip_gradient: Positive | None = 5.0
    """Norm of the gradient that a step is cut to."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights; 0 is none (12th place: .999)."""
    average_top_k: Count = 1
    """Weights are the mean of those of the best so many epochs (12th place)."""
    precision: Literal["bf16", "float32"] = "bf16"
    """bf16 autocast where the device computes it natively; float32 on others."""

    loss: Loss = "bce"
    loss_settings: LossSettings = LossSettings()
    framewise_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss on the loudest frame beside the one on the clip."""
    secondary_weight: Share = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_pooling: Literal["probability", "logit"] = "probability"
    frequency_pool: Literal["mean", "mean+max"] = "mean"
    frequency_channel: bool = False
    """A second input that tells every cell its mel bin: convolutions alone don't know pitch."""
    normalise: Literal["zscore", "minmax", "bins", "none", "floor"] = "zscore"
    """Each crop by itself, or (floor) every bin over the steady noise of its recording."""
    top_db: Positive | None = 80.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0

    reverse: Share = 0.0
    """Share of crops that are played backwards."""
    shift: Shift = Shift()
    padding: Padding = Padding()
    filter: Filter = Filter()
    band: Band = Band()
    background: Background = Background()
    mixup: Mixup = Mixup()
    sumix: Sumix = Sumix()
    noise: Noise = Noise()
    gain_db: Seconds = 0.0
    mask: Mask = Mask()

    validate_every: Count = 1

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called each of its `iterations`; the last time has its own name."""
        return (*(f"{self.name}-{at}" for at in range(1, self.iterations)), self.name)

    @model_validator(mode="after")
    def _fits(self) -> "Round":
        if self.weights is not None and not self.pretrained:
            raise WrongSetting("needs pretrained = true", "weights")
        if (self.label.segment_s or 0) > self.crop_s:
            raise WrongSetting(f"must not be above crop_s, {self.crop_s:g}", "label", "segment_s")
        if self.padding.fill == "floor" and self.normalise != "floor":
            raise WrongSetting('needs normalise = "floor"', "padding", "fill")
        if self.targets != "hard" and (self.teacher is None or self.label.source == "soundscapes"):
            raise WrongSetting('needs a teacher, and label.source = "clips" or "both"', "targets")
        if self.init_from is not None and self.pretrained:
            raise WrongSetting("does not go with pretrained = true: take one of them", "init_from")
        if self.objective == "embeddings":
            self._hears_what_the_teacher_heard()
        if self.iterations > 1 and self.teacher is None:
            raise WrongSetting("needs a teacher: what is repeated is to be taught", "iterations")
        if self.init_weights == "backbone" and self.init_from is None:
            raise WrongSetting("needs init_from, a round to start from", "init_weights")
        if self.mixup.labels == "losses" and self.mixup.probability and self.sumix.probability:
            raise WrongSetting('does not go with mixup.labels = "losses"', "sumix", "probability")
        if self.crops == "overlapping" and self.loud_crops:
            raise WrongSetting('goes with crops = "random" only', "loud_crops")
        return self

    def _hears_what_the_teacher_heard(self) -> None:
        """An embedding is of a crop as it was recorded, or of a mix of two by their shares."""
        if self.teacher is not None:
            raise WrongSetting('does not go with objective = "embeddings"', "teacher")
        if self.mixup.probability and self.mixup.labels != "soft":
            raise WrongSetting('must be "soft" for objective = "embeddings"', "mixup", "labels")
        if self.sumix.probability:
            raise WrongSetting('does not go with objective = "embeddings"', "sumix", "probability")
        for key in ("shift", "padding"):
            if getattr(self, key).probability:
                raise WrongSetting('does not go with objective = "embeddings"', key, "probability")
        if self.reverse:
            raise WrongSetting('does not go with objective = "embeddings"', "reverse")
