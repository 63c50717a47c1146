"""The steps of one round: what its models read, who labels for it, and a step for each model.

A round trains a model for each of its backbones and folds. Where it has a teacher, that teacher
labels soundscapes or clips first, a step for each shard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from birdcore.config import Export, Recipe, Round
from birdcore.config.probe import PROBE
from birdcore.config.teaching import embedder, label_weights
from birdcore.sources.source import MAIN, Source
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
        outputs: What each external teacher says of it, by the teacher's name; of those alone whose
            outputs are read.
    """

    cleaned: tuple[Step, ...] = ()
    mels: tuple[Step, ...] = ()
    outputs: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        heard = (step for steps in self.outputs.values() for step in steps)
        return (*self.cleaned, *self.mels, *heard)

    def heard(self, teacher: str | None) -> Refs:
        """The outputs of an external teacher for it; empty where there are none."""
        return refs(self.outputs.get(teacher or "", ()))


@dataclass(frozen=True)
class RoundData:
    """What the rounds on one source of recordings read: its catalogue, folds and recordings."""

    catalog: Ref
    folds: Ref
    clips: Prepared
    soundscapes: Prepared
    annotated: Prepared = Prepared()

    def inputs(self, round_config: Round, embedder: str | None) -> dict[str, Refs]:
        """The inputs that every model of a round reads, by the names that training knows.

        Args:
            round_config: The round.
            embedder: The external teacher whose embeddings it reads, if any.
        """
        with_outputs = embedder is not None
        inputs = {
            "catalog": (self.catalog,),
            "folds": (self.folds,),
            "mel": refs(self.clips.mels),
        }
        of_events = round_config.annotated
        reads_events = (
            of_events.train
            or of_events.mix
            or of_events.validate_on != "clips"
            or labels_annotated(round_config)
            or round_config.background.of_annotated
        )
        if self.annotated.mels and reads_events and not with_outputs:
            inputs["annotated"] = refs(self.annotated.mels)
        if with_outputs:
            inputs["heard"] = self.clips.heard(embedder)
            if heard := self.annotated.heard(embedder):
                inputs |= {"annotated": refs(self.annotated.mels), "heard_annotated": heard}
        if uses_soundscapes(round_config) or round_config.background.probability:
            inputs["soundscapes"] = refs(self.soundscapes.mels)
            if with_outputs:
                inputs["heard_soundscapes"] = self.soundscapes.heard(embedder)
        return inputs

    def probe_inputs(self, round_config: Round, embedder: str | None) -> dict[str, Refs]:
        """The inputs that every probe of a round reads, by the names that its stage knows."""
        inputs = {
            "catalog": (self.catalog,),
            "folds": (self.folds,),
            "heard": self.clips.heard(embedder),
            "heard_annotated": self.annotated.heard(embedder),
            "heard_soundscapes": (),
        }
        if round_config.probe.soundscapes:
            inputs["heard_soundscapes"] = self.soundscapes.heard(embedder)
        return {name: of_kind for name, of_kind in inputs.items() if of_kind or name == "heard"}


def together(parts: Sequence[Prepared]) -> Prepared:
    """Recordings of several sources as one."""
    return Prepared(
        tuple(step for part in parts for step in part.cleaned),
        tuple(step for part in parts for step in part.mels),
        {
            name: tuple(step for part in parts for step in part.outputs.get(name, ()))
            for name in dict.fromkeys(name for part in parts for name in part.outputs)
        },
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
        others = labels_annotated(round_config) and source.subset("annotated").files
        if round_config.teacher is not None and uses_soundscapes(round_config) and not others:
            raise ValueError(
                f"the teacher of round {name!r} labels soundscapes, and there are none in "
                f"{folder}: add some, or remove 'teacher' from the round"
            )
        background = round_config.background
        others = background.annotated and source.subset("annotated").files
        if background.probability and not others:
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


def labels_annotated(round_config: Round) -> bool:
    """Whether a round's teacher labels what nobody has judged of annotated recordings."""
    taught = round_config.teacher is not None and uses_soundscapes(round_config)
    return taught and round_config.label.unannotated == "teacher"


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
    reads = embedder(recipe, round_config)
    if round_config.objective == "probe":
        inputs = data.probe_inputs(round_config, reads)
        return [
            probe.step(round_config, fold, recipe.seed, inputs)
            for fold in recipe.folds_of(round_config)
        ]
    for backbone in round_config.backbones:
        for fold in recipe.folds_of(round_config):
            labels = _label_steps(recipe, round_config, fold, data, earlier, exports)
            inputs = data.inputs(round_config, reads)
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
    recipe: Recipe,
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
    models = earlier.get(round_config.teacher, {})  # external teachers have none
    settings = round_config.label
    own_fold = settings.teachers == "own"
    teacher = tuple(ref for (_, f), ref in models.items() if f == fold or not own_fold)
    probes = tuple(ref for ref in teacher if ref.stage == probe.NAME)
    teacher = tuple(ref for ref in teacher if ref not in probes)
    weights = label_weights(recipe, round_config)
    if probes:  # which label in the place of the teacher whose embeddings they read
        (prober,) = (one for one in recipe.round if one.name == round_config.teacher)
        weights = {embedder(recipe, prober) or "": 1.0}
    labelled: list[tuple[label.Labelled, str, Prepared]] = []
    if uses_soundscapes(round_config):
        labelled.append(("soundscapes", "labels", data.soundscapes))
    if settings.source != "soundscapes":
        labelled.append(("clips", "clip_labels", data.clips))
    if labels_annotated(round_config) and data.annotated.mels:
        labelled.append(("annotated", "annotated_labels", data.annotated))
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
                external=[
                    (recordings.heard(name)[number], weight) for name, weight in weights.items()
                ],
                catalog=data.catalog,
                exports=exports_of(teacher, exports),
                probes=probes,
            )
            for number, mel in enumerate(recordings.mels)
        ]
        for kind, name, recordings in labelled
    }
