"""The recipe's [after_prediction]: what is done with the ensemble's probabilities before they are
a submission.

What it means for the classes at hand needs their taxonomy (`birdcore/sources/taxonomy.py`), and how
it is computed lies in `birdcore/inference/after_prediction.py`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field, field_validator, model_validator

from birdcore.config.section import Positive, Section, Share
from birdcore.config.validation_errors import WrongSetting
from birdcore.taxa import group_of

if TYPE_CHECKING:
    from birdcore.config.recipe import Recipe

Kernel = tuple[Annotated[float, Field(ge=0)], ...]
Value = TypeVar("Value")
SMOOTHING = ("gaussian", "neighbours", "delta_shift")
"""Settings of [predict] that smooth over time."""


class AfterPrediction(Section):
    """What is done with the ensemble's probabilities, and each round's own, before they are a
    submission. All is off by default; what is on acts in the order of this table. Taxa are
    those of the taxonomy's class_name, or words for them: Aves or birds, Amphibia or frogs,
    Insecta or insects."""

    temperature: Positive = 1.0
    """Logits are divided by it (Guo et al. 2017): above 1, sure rows say less in what follows."""
    cap: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Probabilities above it are set to it, so that none says more in what follows."""
    max_sum: Positive | None = None
    """Rows whose probabilities have a larger sum are scaled down to it; none, if not said (1st
    place 2026 caps the sums of labels so)."""
    pooled: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    """Lists of labels that sound the same, such as sonotypes: each gets the mean of its list."""
    pool_same_taxon: bool = False
    """Pool all labels that share an inat_taxon_id, such as 47158son01 to 47158son25."""
    genus_share: Share = 0.0
    """Share of the mean over a class's genus (1st place 2026: .15)."""
    class_share: Share = 0.0
    """Share of the mean over a class's taxon, its class_name (1st place 2026: .05)."""
    smooth: Mapping[str, Kernel] = {}
    """Weights of a smoothing over a recording's rows, by taxon: { birds = [0.2, 0.6, 0.2], frogs =
    [1, 1, 1] }. Short events smooth little, long textures much (1st and 2nd place 2026)."""
    times_file_maximum: Annotated[float, Field(ge=0)] = 0.0
    """Each row times its class's maximum in the recording, raised to this (2nd place 2025 and 2026:
    1). To pull rows towards the maximum instead: predict.file_maximum."""

    @field_validator("smooth")
    @classmethod
    def _kernels(cls, smooth: Mapping[str, Kernel]) -> dict[str, Kernel]:
        for taxon, weights in smooth.items():
            if len(weights) % 2 == 0 or not sum(weights) > 0:
                raise WrongSetting(
                    f"{taxon} needs an odd number of weights, one of them above 0: of the rows "
                    "before, the row itself and the rows after"
                )
        return by_group(smooth)

    @model_validator(mode="after")
    def _pooled_once(self) -> "AfterPrediction":
        if self.pooled and self.pool_same_taxon:
            raise WrongSetting(
                "pools labels that pool_same_taxon pools too: leave one of them out", "pooled"
            )
        times = Counter(label for labels in self.pooled for label in labels)
        if twice := [label for label, count in times.items() if count > 1]:
            raise WrongSetting(f"has {twice[0]!r} twice", "pooled")
        return self


def by_group(said: Mapping[str, Value]) -> dict[str, Value]:
    """What is said of taxa, by the groups that their names mean."""
    groups: dict[str, str] = {}
    for taxon in said:
        if (other := groups.setdefault(group_of(taxon), taxon)) != taxon:
            raise WrongSetting(f"{other} and {taxon} are one taxon: write one of them")
    return {group: said[taxon] for group, taxon in groups.items()}


def check_after_prediction(recipe: "Recipe") -> None:
    """Raises WrongSetting for what does not go with [predict] and [ensemble]."""
    after, predict = recipe.after_prediction, recipe.predict
    if after.times_file_maximum and predict.file_maximum:
        raise WrongSetting(
            "does not go with predict.file_maximum, which pulls rows towards the same maximum: "
            "leave one of them out", "after_prediction", "times_file_maximum",
        )  # fmt: skip
    smoothing = [name for name in SMOOTHING if getattr(predict, name)]
    if after.smooth and smoothing:
        raise WrongSetting(
            f"does not go with predict.{smoothing[0]}, which smooths all taxa alike: leave one of "
            "them out",
            "after_prediction", "smooth",
        )  # fmt: skip
    if after.temperature != 1 and _may_rank(recipe):
        raise WrongSetting(
            "is one of probabilities, and ensemble.blend may make ranks of them: write "
            'ensemble.blend = "mean" or "power"', "after_prediction", "temperature",
        )  # fmt: skip
    for taxon, weights in recipe.ensemble.taxon_weights.items():
        if not set(recipe.members).issuperset(weights) or not any(weights.values()):
            raise WrongSetting(
                f"{taxon} needs weights of members, one of them above 0: "
                f"{', '.join(recipe.members)}", "ensemble", "taxon_weights",
            )  # fmt: skip


def _may_rank(recipe: "Recipe") -> bool:
    """Whether members may be blended by rank; one member never is, unless it is said."""
    ensemble = recipe.ensemble
    if ensemble.blend is not None:
        return ensemble.blend == "rank"
    rounds = [r for r in recipe.classifier_rounds if set(r.names) & set(recipe.members)]
    several = len(recipe.members) > 1 or any(len(r.backbones) > 1 for r in rounds)
    return ensemble.weights == "auto" and several
