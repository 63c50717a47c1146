"""Stage `ensemble`: the weight of each member, fitted on recordings that no member has seen.

A member is a backbone of a round; its out-of-fold predictions are those of each fold's model for
the recordings held out from it. Publishes `weights.json`: how members are blended, the weight of
each (a list over `classes`, where each class has its own), and ROC-AUCs on the held-out
recordings of each member, of the plain mean of all, and of the ensemble.

The ensemble's AUC is that of weights fitted on other recordings than those it is evaluated on, a
fifth of them at a time: on those that they are fitted on, many weights always look better than
few. `compared` has the evaluations of the candidates among which weights = "auto" chooses. What a
recipe says of the classes of a taxon goes before what is fitted.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from birdcore.config import AfterPrediction, Ensemble, defaults_of
from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.files import write_text
from birdcore.store.store import Job

if TYPE_CHECKING:
    import pandas as pd

VERSION = 3
OUTPUTS, CATALOG = "[heard]", "[catalog]"
"""Inputs that are no rounds, under names that no round can have."""


class Settings(Ensemble):
    """What the stage reads: how to weigh, and the external teachers that are members, if any.

    Attributes:
        teacher: The model that the recipe's only teacher is, or models by the teachers' names.
    """

    teacher: str | dict[str, str] | None = None

    @property
    def teachers(self) -> dict[str, str]:
        """The models of the external teachers, by the teachers' names in the recipe."""
        if isinstance(self.teacher, str):
            return {EXTERNAL_TEACHER: self.teacher}
        return self.teacher or {}


@dataclass(frozen=True)
class ExternalMembers:
    """External teachers that are members.

    Attributes:
        models: The model that each is, by its name in the recipe.
        outputs: Its outputs for the recordings, likewise.
    """

    models: Mapping[str, str]
    outputs: Mapping[str, tuple[Ref, ...]]


def step(
    settings: Ensemble,
    members: Mapping[str, tuple[Ref, ...]],
    external: ExternalMembers | None = None,
    catalog: Ref | None = None,
) -> Step:
    """Weights of the members.

    Args:
        settings: The recipe's [ensemble].
        members: The models of each round.
        external: External teachers that are members too.
        catalog: The catalogue, which maps their species to classes, and knows the taxa that have
            weights of their own.
    """
    config = settings.model_dump(include={"weights", "blend", "held_out"})
    if settings.blend == "power":
        config["power"] = settings.power
    inputs = dict(members)
    if external is not None:
        models = dict(external.models)
        config["teacher"] = models.get(EXTERNAL_TEACHER, models)
        inputs |= {_outputs(name): refs for name, refs in external.outputs.items()}
    if settings.taxon_weights:
        config["taxon_weights"] = settings.taxon_weights
    if catalog is not None and (external is not None or settings.taxon_weights):
        inputs[CATALOG] = (catalog,)
    return Step("ensemble", VERSION, "ensemble", config, inputs, defaults=defaults_of(settings))


def run(job: Job) -> Metrics:
    import numpy as np

    from birdcore.features.columns import stacked
    from birdcore.inference.ensemble import fit_ensemble, read_members
    from birdcore.inference.held_out import groups_of, held_out_names
    from birdcore.inference.spans import SPAN
    from birdcore.inference.weights import WEIGHTS_FILE, weights_of_taxa
    from birdcore.sources.catalog import read_species
    from birdcore.sources.taxonomy import Taxonomy, check_classes

    settings = Settings.model_validate(job.config)
    taxonomy = None
    if settings.taxon_weights:
        taxonomy = Taxonomy.of(read_species(job.input(CATALOG)))
        check_classes(taxonomy, AfterPrediction(), settings.taxon_weights)
    rounds = {
        name: [model.folder for model in job.inputs(name)]
        for name in job.step.inputs
        if not name.startswith("[")
    }
    tables, classes = read_members(rounds)
    everything = sorted(set.intersection(*(set(table.index) for table in tables.values())))
    if settings.teachers:  # whose outputs are of clips
        everything = [name for name in everything if SPAN not in name]
    common, note = held_out_names(everything, settings.held_out)
    truth = np.zeros((0, len(classes)), bool)
    if common:
        truth = stacked(next(iter(tables.values())).loc[common, "targets"], np.float32) >= 1
    for name, model in settings.teachers.items():
        tables[f"{name}/{model}"] = _teacher(job, name, common)
    members = {
        name: stacked(table.loc[common, "probabilities"], np.float32)
        if common
        else np.zeros((0, len(classes)), np.float32)
        for name, table in tables.items()
    }
    fixed = None
    if taxonomy is not None:
        fixed = weights_of_taxa(settings.taxon_weights, list(members), taxonomy.taxa)
    fitted = fit_ensemble(members, truth, settings, groups_of(common), fixed)
    weights = dict(zip(members, fitted.weights.tolist(), strict=True))
    how: dict[str, Any] = {"chosen": fitted.candidate.name, "blend": fitted.candidate.blend}
    how |= {"power": settings.power} if fitted.candidate.blend == "power" else {}
    how["compared"] = {name: asdict(one) for name, one in fitted.evaluations.items()}
    by_class = {"classes": classes} if fitted.weights.ndim == 2 else {}
    content = {**how, "weights": weights, **by_class, "held_out_auc": fitted.aucs}
    write_text(job.folder / WEIGHTS_FILE, json.dumps(content, indent=1) + "\n")
    return {
        "members": len(members),
        "held_out_recordings": len(common),
        **({} if note is None else {"held_out_note": note}),
        "chosen": fitted.candidate.name,
        "compared": {
            name: {key: value and round(value, 4) for key, value in asdict(one).items()}
            for name, one in fitted.evaluations.items()
        },
        "weights": {name: round(float(np.mean(share)), 4) for name, share in weights.items()},
        "held_out_auc": {name: auc and round(auc, 4) for name, auc in fitted.aucs.items()},
    }


def _outputs(name: str) -> str:
    """The input that an external teacher's outputs are."""
    return OUTPUTS if name == EXTERNAL_TEACHER else f"[heard {name}]"


def _teacher(job: Job, name: str, recordings: list[str]) -> "pd.DataFrame":
    """Predictions of an external teacher, which needs no fold: it was trained on other data."""
    import pandas as pd

    from birdcore.inference.teacher_predictions import (
        read_teacher_predictions,
        recording_probabilities,
    )

    if not recordings:
        return pd.DataFrame()
    outputs = [artifact / "heard.parquet" for artifact in job.inputs(_outputs(name))]
    species = job.input(CATALOG) / "species.parquet"
    predictions = recording_probabilities(read_teacher_predictions(outputs, species, recordings))
    return pd.DataFrame({"probabilities": list(predictions)}, recordings)
