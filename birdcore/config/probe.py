"""A round's settings of a probe: a head on the external teacher's embeddings."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from birdcore.config.section import Section, Share
from birdcore.config.training import TrainConfig

PROBE = "probe"
"""What stands for a probe where other models have the name of a backbone."""

Pool: TypeAlias = Literal["attention", "max", "mean"]


class ProbeSettings(Section):
    """Of `objective = "probe"`: a head on the external teacher's embeddings, in minutes on a CPU.

    It reads of its round also weight_decay, secondary_weight, ratings and annotated; and, under
    solver = "adam", epochs, repeat, min_per_class, batch, crop_s, learning_rate, min_lr, warmup,
    ema, dropout, framewise_weight and label_smoothing. All else is of networks."""

    hidden: Annotated[int, Field(ge=0)] = 512
    """Units of a hidden layer; 0: none, a linear probe."""
    pool: Pool = "attention"
    """How the teacher's windows in a crop make a clip: a clip's label does not say which window
    sings."""
    solver: Literal["adam", "logistic"] = "adam"
    """logistic: the exact optimum of a linear probe, L2-regularised logistic regression of windows
    class by class, each with its clip's labels; weight_decay is the penalty of the mean loss."""
    soundscapes: Annotated[float, Field(ge=0)] = 1.0
    """Weight of a loss on unlabelled soundscapes, whose windows have the teacher's own
    probabilities as labels; 0: they do not train."""
    annotated: Annotated[float, Field(gt=0)] = 1.0
    """Weight of what somebody annotated, such as the verdicts of `birdflow review`, where a clip's
    label has 1."""
    unannotated: Literal["unknown", "teacher"] = "unknown"
    """Of a recording that somebody annotated in part, the classes and windows of which nobody says
    anything: left out, or with the teacher's own probabilities as in soundscapes, at their weight.
    Nothing is learnt of a class in windows where somebody is unsure of it, or denies a part."""
    prior: Literal["none", "added", "residual"] = "none"
    """The teacher's logits beside the probe's own: afterwards in a mean of both (added), or added
    while it is trained (residual), so that it learns what the teacher gets wrong."""
    prior_share: Share | Literal["held-out"] = "held-out"
    """Share of the teacher's logits in prior = "added"; held-out: of a few shares the one at which
    this probe tells its held-out recordings apart best (half where none can be scored), which makes
    their AUC a little optimistic. A fold of few clips chooses by chance, and in favour of a teacher
    that has learnt from these very clips: docs/lab-notebook.md."""


class ProbeConfig(TrainConfig):
    """One probe of a round: what its stage reads of the round, its fold and seed.

    Attributes:
        hop_s: Seconds from window to window of the teacher.
        judged_is_open: That what people doubt has not the teacher's label, as it once had: in the
            key of those probes alone that it is something to.
    """

    probe: ProbeSettings = ProbeSettings()
    backbone: str = PROBE
    hop_s: float
    judged_is_open: bool = False
