"""The steps of one round: what its models read, who labels for it, and a step for each model.

A round trains a model for each of its backbones and folds. Where it has a teacher, that teacher
labels soundscapes or clips first, a step for each shard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from birdcore.config import Export, Recipe, Round
from birdcore.config.probe import PROBE
from birdcore.config.validation import EXTERNAL_TEACHER
from birdcore.sources.source import MAIN, Source, Use
from birdcore.stages import export, label, probe, train
from birdcore.stages.table import TRAINS
from birdcore.store.artifact import Ref, Step

Refs: TypeAlias = tuple[Ref, ...]
Models: TypeAlias = Mapping[tuple[str, int], Ref]
"""The models of a round, by backbone and fold."""


@dataclass(frozen=True)
class Prepared:
    """Steps that prepare the recordings of one use, each a step for every shard.

    Attributes:
        cleaned: What of each recording is kept.
        mels: Its mel spectrogram.
        outputs: What the external teacher says of it; empty where nothing reads them.
    """

    cleaned: tuple[Step, ...] = ()
    mels: tuple[Step, ...] = ()
    outputs: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.cleaned + self.mels + self.outputs


@dataclass(frozen=True)
class RoundData:
    """What the rounds on one source of recordings read: its catalogue, folds and recordings."""

    catalog: Ref
    folds: Ref
    clips: Prepared
    soundscapes: Prepared
    annotated: Prepared = Prepared()

    def inputs(self, round_config: Round) -> dict[str, Refs]:
        """The inputs that every model of a round reads, by the names that training knows."""
        with_outputs = round_config.objective == "embeddings"
        inputs = {
            "catalog": (self.catalog,),
            "folds": (self.folds,),
            "mel": refs(self.clips.mels),
        }
        of_events = round_config.annotated
        reads_events = of_events.train or of_events.mix or of_events.validate_on != "clips"
        if self.annotated.mels and reads_events and not with_outputs:
            inputs["annotated"] = refs(self.annotated.mels)
        if with_outputs:
            inputs["heard"] = refs(self.clips.outputs)
        if uses_soundscapes(round_config) or round_config.background.probability:
            inputs["soundscapes"] = refs(self.soundscapes.mels)
            if with_outputs:
                inputs["heard_soundscapes"] = refs(self.soundscapes.outputs)
        return inputs

    def probe_inputs(self, round_config: Round) -> dict[str, Refs]:
        """The inputs that every probe of a round reads, by the names that its stage knows."""
        inputs = {
            "catalog": (self.catalog,),
            "folds": (self.folds,),
            "heard": refs(self.clips.outputs),
            "heard_annotated": refs(self.annotated.outputs),
            "heard_soundscapes": (),
        }
        if round_config.probe.soundscapes:
            inputs["heard_soundscapes"] = refs(self.soundscapes.outputs)
        return {name: of_kind for name, of_kind in inputs.items() if of_kind or name == "heard"}


def together(parts: Sequence[Prepared]) -> Prepared:
    """Recordings of several sources as one."""
    return Prepared(
        tuple(step for part in parts for step in part.cleaned),
        tuple(step for part in parts for step in part.mels),
        tuple(step for part in parts for step in part.outputs),
    )


def refs(steps: Sequence[Step]) -> Refs:
    """The artifacts that steps make, in their order."""
    return tuple(step.ref for step in steps)


def refuse_missing(round_config: Round, source: Source) -> None:
    """Refuse a round whose recordings or weights are not there.

    Without soundscapes a student would be trained like its teacher, and nothing would say so.

    Raises:
        ValueError: The round reads soundscapes or a file of weights, and there are none.
    """
    unlabelled = source.subset("unlabelled")
    if round_config.objective == "probe":  # whose soundscapes are more to learn from, if there are
        return
    if not unlabelled.files:
        name, folder = round_config.name, source.root / unlabelled.name
        if round_config.teacher is not None and uses_soundscapes(round_config):
            raise ValueError(
                f"the teacher of round {name!r} labels soundscapes, and there are none in "
                f"{folder}: add some, or remove 'teacher' from the round"
            )
        if round_config.background.probability:
            raise ValueError(
                f"background of round {name!r} is taken from soundscapes, and there are none in "
                f"{folder}: add some, or set background.probability = 0 in the round"
            )
    if round_config.weights is not None and not Path(round_config.weights).is_file():
        raise ValueError(
            f"weights of round {round_config.name!r}: there is no file {round_config.weights}"
        )


def uses_soundscapes(round_config: Round) -> bool:
    """Whether a round learns from soundscapes."""
    if round_config.objective == "embeddings":
        return round_config.data == MAIN
    return round_config.teacher is not None and round_config.label.source != "clips"


def subsets_with_outputs(recipe: Recipe) -> set[tuple[str, Use]]:
    """The recordings that the external teacher reads, by source and use."""
    found: set[tuple[str, Use]] = set()
    if EXTERNAL_TEACHER in recipe.members:
        found |= {(MAIN, "labelled"), (MAIN, "test")}
    for one in recipe.round:
        if one.objective == "probe":
            found |= {(MAIN, use) for use in ("labelled", "annotated", "test")}
            if one.probe.soundscapes or _teaches(recipe, one):
                found.add((MAIN, "unlabelled"))
        labels = one.teacher is not None and _labels_with_outputs(one)
        if one.objective == "embeddings":
            found.add((one.data, "labelled"))
        elif labels and one.label.source != "soundscapes":
            found.add((MAIN, "labelled"))
        if uses_soundscapes(one) and (one.objective == "embeddings" or labels):
            found.add((MAIN, "unlabelled"))
    return found


def _teaches(recipe: Recipe, round_config: Round) -> bool:
    """Whether a later round has this one as its teacher."""
    return any(one.teacher in round_config.names for one in recipe.round)


def _labels_with_outputs(round_config: Round) -> bool:
    """Whether the external teacher has a part in a round's pseudo-labels."""
    return round_config.teacher == EXTERNAL_TEACHER or bool(round_config.label.external_weight)


def steps_of_round(
    recipe: Recipe,
    round_config: Round,
    data: RoundData,
    earlier: Mapping[str, Models],
    exports: Mapping[Ref, Ref],
) -> list[Step]:
    """The steps of a round: its models, each after the pseudo-labels that it reads.

    Args:
        recipe: The recipe, for its folds and seed.
        round_config: The round.
        data: The recordings that it learns from.
        earlier: The models of the rounds before it.
        exports: The exports of those that have one, by the models.
    """
    steps = []
    if round_config.objective == "probe":
        inputs = data.probe_inputs(round_config)
        return [
            probe.step(round_config, fold, recipe.seed, inputs)
            for fold in recipe.folds_of(round_config)
        ]
    for backbone in round_config.backbones:
        for fold in recipe.folds_of(round_config):
            labels = _label_steps(round_config, fold, data, earlier, exports)
            inputs = data.inputs(round_config)
            if round_config.init_from:
                inputs["start"] = (_initial(earlier[round_config.init_from], backbone, fold),)
            inputs |= {name: refs(labelled) for name, labelled in labels.items()}
            steps += [step for labelled in labels.values() for step in labelled]
            steps.append(train.step(round_config, backbone, fold, recipe.seed, inputs))
    return steps


def export_steps(trained: Sequence[Step], data: RoundData, settings: Export) -> list[Step]:
    """The export of each model that a round's steps train, compared on recordings it reads."""
    mels = refs(data.clips.mels) or refs(data.annotated.mels)
    return [
        export.step(step.name.removeprefix("train "), step.ref, mels, settings)
        for step in trained
        if step.stage == "train"
    ]


def exports_of(models: Refs, exports: Mapping[Ref, Ref]) -> Refs:
    """The exports of models; none where models are not exported."""
    return tuple(exports[model] for model in models if model in exports)


def models_of(steps: Sequence[Step]) -> Models:
    """The models that a round's steps train, by backbone and fold."""
    trained = (step for step in steps if step.stage in TRAINS)
    return {(step.config.get("backbone", PROBE), step.config["fold"]): step.ref for step in trained}


def _initial(models: Models, backbone: str, fold: int) -> Ref:
    """The model whose weights another one starts with: that of its own backbone and fold.

    Rounds on other data may have fewer folds: the first then stands for those that they lack.
    """
    by_fold = {f: ref for (b, f), ref in models.items() if b == backbone}
    return by_fold.get(fold, next(iter(by_fold.values())))


def _label_steps(
    round_config: Round,
    fold: int,
    data: RoundData,
    earlier: Mapping[str, Models],
    exports: Mapping[Ref, Ref],
) -> dict[str, list[Step]]:
    """The pseudo-labels that the models of a fold read, by the names that training knows.

    A step for each shard of the recordings that the round's teacher labels.
    """
    if round_config.teacher is None:
        return {}
    models = earlier.get(round_config.teacher, {})  # the external teacher has none
    settings = round_config.label
    own_fold = settings.teachers == "own"
    teacher = tuple(ref for (_, f), ref in models.items() if f == fold or not own_fold)
    probes = tuple(ref for ref in teacher if ref.stage == probe.NAME)
    teacher = tuple(ref for ref in teacher if ref not in probes)
    external = bool(probes) or _labels_with_outputs(round_config)
    labelled: list[tuple[label.Labelled, str, Prepared]] = [
        ("soundscapes", "labels", data.soundscapes),
        ("clips", "clip_labels", data.clips),
    ]
    return {
        name: [
            label.step(
                round_config,
                kind,
                number,
                teacher,
                mel.ref,
                fold=fold if own_fold and (teacher or probes) else None,
                folds=data.folds if settings.teachers == "out-of-fold" else None,
                external=(recordings.outputs[number].ref, data.catalog) if external else None,
                exports=exports_of(teacher, exports),
                probes=probes,
            )
            for number, mel in enumerate(recordings.mels)
        ]
        for kind, name, recordings in labelled
        if settings.source in (kind, "both")
    }
