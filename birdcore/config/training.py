"""What the training of one model reads of its round.

`TrainSettings` are the keys of a [[round]] that the training loop reads. `TrainConfig` adds what
tells one model of the round from another; it is what a step `train` is parsed into, once.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

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
from birdcore.config.section import Count, Positive, Seconds, Section, Share

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
"""Their functions: `birdcore.training.loss.LOSSES`."""

HeadName: TypeAlias = Literal[
    "attention", "entmax", "sparsemax", "gem", "mean", "max", "logmeanexp"
]
"""Their classes: `birdcore.models.head.HEADS`."""


class LossSettings(Section):
    gamma: Annotated[float, Field(ge=1)] = 2.0
    """Of the focal losses."""
    temperature: Positive = 1.0
    """Of kl and weighted_hinge_auc."""
    margin: Positive = 1.0
    """Of soft_auc, hinge_auc and weighted_hinge_auc."""
    bce: Annotated[float, Field(ge=0)] = 0.0
    """Weight of BCE beside a loss that ends in _auc: under a ranking loss alone, classes without a
    positive collapse."""
    by_rarity: bool = False
    """Whether weighted_hinge_auc weighs classes by how rare they are among the recordings."""


class LabelSelection(Section):
    """What is done to pseudo-labels of all segments at once, so by training and not by the label
    step of one shard."""

    minmax: bool = False
    """Stretch the labels of each class, over all soundscapes, to 0 to 1 (4th place)."""
    keep_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of the segments that train: those with the highest label sums (4th place: .8)."""
    max_label_sum: Positive | None = None
    """Labels of a segment are scaled down to this sum where theirs is higher (2026: .75)."""


class AnnotatedCrops(Section):
    """How recordings train whose labels have a beginning and an end: labelled soundscapes (2026),
    and selection tables."""

    train: bool = True
    """Crops around each window or event that somebody annotated, as many as crops of a clip."""
    validate_on: Literal["all", "annotated", "clips"] = "all"
    """What of the held-out recordings chooses the best epoch: windows of annotated recordings,
    clips, or both alike. Where there are none of a kind, the others do."""
    event_share: Share = 0.5
    """An event labels a crop that holds at least this share of it,"""
    crop_share: Share = 0.2
    """or of which it fills this share. A class of which there is less is unknown in the crop."""
    frames_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a loss on frames, beside the one on the crop, in recordings whose events have times
    of their own; a label of a whole window has none."""
    mix: Share = 0.0
    """Share of the crops mixed as `mix_share`, `mix_as` and `mix` of the round say, but with a crop
    of an annotated recording in place of a teacher's chunk; also in a round without a teacher."""


class TrainSettings(Section):
    """The settings of a round that its training loop reads."""

    pretrained: bool = False
    objective: Literal["labels", "embeddings", "probe"] = "labels"
    """Predict the species; or an external teacher's embeddings of clips and soundscapes, under a
    cosine loss: a backbone for a round that starts from it (1st place 2026); or (probe) the species
    from these embeddings, by a head that needs no backbone and learns in minutes."""
    init_weights: Literal["all", "backbone"] = "all"
    """All weights of the round named by init_from, or the backbone's under a new head."""
    mix: Share = 0.5
    """Constant weight of the soundscape in a mix with a pseudo-labelled one (1st place: .5)."""
    mix_share: Share = 1.0
    """Share of clips that are mixed with a pseudo-labelled soundscape (1st place: all)."""
    mix_as: Literal["mix", "replace", "replace-same"] = "mix"
    """A chosen clip is mixed with a soundscape, or replaced by one (5th place: half of all), or by
    one in which the teacher found the clip's own class (2nd place: .4 of all)."""
    targets: Literal["hard", "soft", "enriched"] = "hard"
    """Targets of crops under a teacher that labelled the clips: the annotators' labels, the
    teacher's, or .7 clip(p [p > .3] + p^2) + .3 hard (5th place)."""
    match_power: bool = True
    """Bring clip and soundscape to one mean power before they are mixed."""

    epochs: Count = 30
    batch: Annotated[int, Field(ge=2)] = 64
    repeat: Count = 1
    """Crops of each recording in an epoch."""
    annotated: AnnotatedCrops = AnnotatedCrops()
    min_per_class: Annotated[int, Field(ge=0)] = 0
    """Recordings of rarer classes are repeated up to this number (5th place: 20)."""
    crop_s: Positive = 5.0
    window_s: Positive | None = None
    """Windows of validation, labelling and prediction; as long as the crops, if not given."""
    sampler: Literal["recordings", "classes"] = "recordings"
    """Draw every recording equally often, or every class."""
    min_rating: Annotated[float, Field(ge=0)] = 0.0
    """Recordings rated below are not trained on; those without a rating are, or with one of 0, as
    all of iNaturalist have. With init_from the second of two stages (HMS 2024; -.022 here, by
    ratings): recipes/two-stage.toml."""
    validate_min_rating: Annotated[float, Field(ge=0)] = 0.0
    """Held-out recordings rated below are not validated on: neither the best epoch nor weights of
    the ensemble are chosen by them, nor do they train. Those without a rating are, as above (HMS
    2024: labels of ten votes or more; no better guide to soundscapes here)."""
    max_start_s: Positive | None = None
    """Crops of clips come from their first seconds only (5th place: 60 and 30); those of annotated
    recordings lie where these are annotated."""
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
    """The published weights are the mean of those of so many best epochs (12th place)."""
    precision: Literal["bf16", "float32"] = "bf16"
    """bf16 autocast where the device computes it natively; float32 on others."""

    loss: Loss = "bce"
    loss_settings: LossSettings = LossSettings()
    framewise_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss on the loudest frame beside the one on the clip."""
    secondary_weight: Share = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_offset: Annotated[float, Field(ge=0)] = 0.0
    """Smoothing that is stronger the fewer people a label is of: votes added to each outcome,
    (v + o) / (n + 2 o) for v of n votes, n = 1 but where annotators are told apart (HMS 2024: .02;
    no gain here)."""
    head: HeadName = "attention"
    """How frames make a clip. Attention, class by class, with weights by softmax (PANNs, Kong et
    al. 2020), by entmax 1.5 (Peters et al. 2019) or sparsemax (Martins and Astudillo 2016), which
    leave frames out; gem, the generalised mean of features with a learned exponent (Radenović et
    al. 2018); the mean; the maximum; log-mean-exp (Pinheiro and Collobert 2015)."""
    clip_pooling: Literal["probability", "logit"] = "probability"
    """What the head averages over time while it is trained: probabilities (PANNs) or logits (2nd
    place). max has the same of both; gem averages neither."""
    head_sharpness: Annotated[float, Field(ge=0.1, le=50)] = 5.0
    """Of head = "logmeanexp": the lower, the nearer to the mean; the higher, the nearer to the
    maximum (Pinheiro and Collobert 2015)."""
    frequency_pool: Literal["mean", "mean+max"] = "mean"
    frequency_channel: bool = False
    """A second input channel with each cell's mel bin: convolutions alone do not know pitch."""
    normalise: Literal["zscore", "minmax", "bins", "none", "floor"] = "zscore"
    """Each crop by itself, or (floor) every bin over the steady noise of its recording."""
    top_db: Positive | None = 80.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0

    reverse: Share = 0.0
    """Share of crops that are played backwards, a flip along time (HMS 2024; no gain here)."""
    flip_frequency: Share = 0.0
    """Share of crops that are turned upside down, a flip along frequency (HMS 2024, of brain waves;
    -.071 here). Birds are told by their pitch and by whether it rises, so it makes songs
    that no bird sings: for calls that are known by their rhythm alone."""
    shift: Shift = Shift()
    padding: Padding = Padding()
    filter: Filter = Filter()
    band: Band = Band()
    background: Background = Background()
    mixup: Mixup = Mixup()
    sumix: Sumix = Sumix()
    noise: Noise = Noise()
    gain_db: Seconds = 0.0
    """Amplitude scaling (HMS 2024; no gain here): crops are louder or softer by up to so much.
    A model only knows of it under normalise = "none": the other scales are relative to the crop or
    its noise."""
    mask: Mask = Mask()

    validate_every: Count = 1


class TrainConfig(TrainSettings):
    """One model of a round: its settings, backbone, validation fold and seed."""

    backbone: str
    fold: int
    seed: int
    label: LabelSelection | None = None
    """None where no teacher labelled anything."""
    out_of_fold: bool = False
    """Whether soundscapes of this model's fold are left out of its training."""
    zero_is_unrated: bool = False
    """Whether a rating of 0 is none; no part of the key of models that take all ratings."""
