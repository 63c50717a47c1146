"""What depends on what: every step of a recipe, with its key, before anything runs.

The plan, the flow and the cache all read this one list. Steps come after what they read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from birdcore.config import Recipe, Round
from birdcore.config.teaching import embedder
from birdcore.csv_table import Problem
from birdcore.sources.file_speed import speed_of_files
from birdcore.sources.shards import Shard, shards
from birdcore.sources.soundscapes import rows_of, soundscape_problems
from birdcore.sources.source import LABELLED, MAIN, Source, Subset, Use
from birdcore.sources.taxonomy import check_taxonomy
from birdcore.stages import (
    clean,
    ensemble,
    external_teacher,
    folds,
    mel,
    predict,
    report,
    score,
    submission,
)
from birdcore.stages.table import TRAINS
from birdcore.store.artifact import Artifact, Ref, Step
from birdcore.store.store import Store
from birdcore.teachers.class_mapping import BY_NAME
from flows.catalogs import catalog_steps, collection_steps
from flows.external_teacher import AskedTeacher, asked_teachers, subsets_heard
from flows.rounds import (
    Models,
    Prepared,
    RoundData,
    export_steps,
    exports_of,
    models_of,
    refs,
    refuse_missing,
    steps_of_round,
    together,
)


@dataclass(frozen=True)
class Dag:
    """The steps of a recipe, and what its results are read from.

    Attributes:
        steps: All steps, in an order in which they can run.
        problems: What does not fit in the data, as far as it is known before anything runs.
        names: What the rows of each test soundscape are called.
    """

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def of(self, stage: str) -> list[Step]:
        """The steps of a stage."""
        return [step for step in self.steps if step.stage == stage]

    @property
    def trained(self) -> list[Step]:
        """The steps whose artifacts are models."""
        return [step for step in self.steps if step.stage in TRAINS]

    def made(self, stage: str, store: Store) -> Iterator[tuple[Step, Artifact]]:
        """The steps of a stage whose artifacts are in the store, each with its artifact."""
        for step in self.of(stage):
            if (artifact := store.fetched(step.ref)) is not None:
                yield step, artifact

    @property
    def stages(self) -> tuple[str, ...]:
        """Its stages, in the order in which they first run."""
        return tuple(dict.fromkeys(step.stage for step in self.steps))


def build_dag(
    recipe: Recipe,
    source: Source,
    store: Store,
    extra: Sequence[Source] = (),
    further: Sequence[Source] = (),
    *,
    keep_shards: bool,
) -> Dag:
    """The DAG of a recipe on a data folder and the other sources that its rounds read.

    Args:
        recipe: What to build.
        source: The data folder: its classes, test recordings and rows are what a run is for.
        store: Where the ledger of shards is.
        extra: Other sources (`birdcore.sources.source.extra_sources`).
        further: Those that lie beside the data folder
            (`birdcore.sources.further.further_sources`).
        keep_shards: Write new shards to the ledger.

    Raises:
        ValueError: A round needs what is not there, or a setting what no table says of classes.
    """
    for round_config in recipe.round:
        refuse_missing(round_config, source)
    check_taxonomy(recipe, source)
    beside = (source, *further)
    sources = (*beside, *extra)
    speed = speed_of_files(sources) if recipe.mel.speed == "auto" else 1.0
    subsets = [subset for each in sources for subset in each.subsets]
    parts = shards(subsets, store, recipe.shards.recordings, keep=keep_shards)
    asked = asked_teachers(recipe, source)
    recordings = {
        subset.name: _prepare(recipe, each, subset, parts[subset.name], asked, speed)
        for each in sources
        for subset in each.subsets
    }
    cataloged, read = catalog_steps(recipe, source, further, parts)
    steps = cataloged[:1]
    steps += [step for prepared in recordings.values() for step in prepared.steps]
    steps += [*cataloged[1:], *read]
    soundscapes = recordings.get(source.subset("unlabelled").name, Prepared())

    def prepared_of(some: Sequence[Source], use: Use) -> Prepared:
        return together([recordings.get(one.subset(use).name, Prepared()) for one in some])

    described, folded = refs(read)
    clips, annotated = (prepared_of(beside, use) for use in LABELLED)
    data = {source.name: RoundData(described, folded, clips, soundscapes, annotated)}
    for each in extra:
        of_extra = collection_steps(beside, each, parts)
        described = of_extra[-1].ref
        of_extra.append(folds.step(described, recipe.folds.count, recipe.seed))
        clips, annotated = (prepared_of([each], use) for use in LABELLED)
        data[each.name] = RoundData(described, of_extra[-1].ref, clips, soundscapes, annotated)
        steps += of_extra
    models: dict[str, Models] = {}
    exports: dict[Ref, Ref] = {}
    for round_config in recipe.round:
        of_round = data[round_config.data]
        added = steps_of_round(recipe, round_config, of_round, models, exports)
        models[round_config.name] = models_of(added)
        exported = []
        if recipe.export.onnx and round_config in recipe.classifier_rounds:
            exported = export_steps(added, of_round, recipe.export)
        exports |= {step.inputs["model"][0]: step.ref for step in exported}
        steps += [*added, *exported]
    results = _results(recipe, source, recordings, data, models, exports, asked)
    problems = [problem for one in further for problem in one.problems]
    problems += [problem for teacher in asked.values() for problem in teacher.problems]
    problems += results.problems
    return replace(results, steps=_unique([*steps, *results.steps]), problems=tuple(problems))


def _prepare(
    recipe: Recipe,
    source: Source,
    subset: Subset,
    parts: Sequence[Shard],
    asked: Mapping[str, AskedTeacher],
    speed: float,
) -> Prepared:
    """The steps that prepare the recordings of a source that have one use.

    The speed is that of the recordings, where they say it.
    """
    root, overrides, reading = source.root, dict(source.overrides), recipe.mel.spec(speed).reading
    cleaned = tuple(
        clean.step(part, recipe.clean, overrides, root, source.groups, reading) for part in parts
    )
    both = list(zip(parts, refs(cleaned), strict=True))
    mels = tuple(mel.step(part, ref, recipe.mel, recipe.clean, root, speed) for part, ref in both)
    wanted, outputs = subsets_heard(recipe), {}
    for name, one in asked.items():
        if (source.name, subset.use) not in wanted[name]:
            continue
        # Of a collection, which has other classes, only embeddings of recordings are read.
        species, mapped = (one.species, one.mapped) if source.name == MAIN else ((), BY_NAME)
        outputs[name] = tuple(
            external_teacher.step(
                part, ref, one.teacher, one.hop_s, species, recipe.clean, root, mapped
            )
            for part, ref in both
        )
    return Prepared(cleaned, mels, outputs)


def _results(
    recipe: Recipe,
    source: Source,
    recordings: Mapping[str, Prepared],
    data: Mapping[str, RoundData],
    models: Mapping[str, Models],
    exports: Mapping[Ref, Ref],
    asked: Mapping[str, AskedTeacher],
) -> Dag:
    """The DAG's end: the ensemble, its predictions, the submission, its score and the report."""
    data_folder = data[source.name]
    cataloged = data_folder.catalog
    trained = {name: tuple(of_round.values()) for name, of_round in models.items()}
    members = {name: trained[name] for name in recipe.members if name in trained}
    external = {name: asked[name].teacher.name for name in recipe.members if name in asked}
    outputs = {name: data_folder.clips.heard(name) for name in external}
    of_teachers = ensemble.ExternalMembers(external, outputs) if external else None
    weights = ensemble.step(recipe.ensemble, members, of_teachers, cataloged)
    tests = recordings.get(source.subset("test").name, Prepared())
    mels = refs(tests.mels)

    def predictions_of(round_config: Round, number: int, mel: Ref) -> Step:
        name, of_round = round_config.name, trained[round_config.name]
        if round_config.objective == "probe":
            outputs = tests.heard(embedder(recipe, round_config))[number]
            return predict.probe_step(
                name, number, of_round, outputs, mel, cataloged, recipe.predict
            )
        exported = exports_of(of_round, exports)
        return predict.step(name, number, of_round, mel, recipe.predict, exported)

    predicted = {
        one.name: [predictions_of(one, number, part) for number, part in enumerate(mels)]
        for one in recipe.classifier_rounds
    }
    for name, model in external.items():
        parts = zip(tests.heard(name), mels, strict=True)
        predicted[name] = [
            predict.external_teacher_step(name, model, number, *part, cataloged, recipe.predict)
            for number, part in enumerate(parts)
        ]
    predictions = {name: refs(steps) for name, steps in predicted.items()}
    submitted = submission.step(
        recipe.predict,
        source,
        cataloged,
        weights.ref,
        predictions,
        members,
        recipe.after_prediction,
    )
    scored = score.step(recipe.score, source, submitted.ref)
    page = report.step(
        recipe,
        source,
        [of_source.catalog for of_source in data.values()],
        {kind: refs(prepared.cleaned) for kind, prepared in recordings.items()},
        {kind: refs(prepared.mels) for kind, prepared in recordings.items()},
        trained,
        weights.ref,
        submitted.ref,
        scored,
        {name: one.mapped for name, one in asked.items()},
    )
    steps = [weights, *(step for of_round in predicted.values() for step in of_round), submitted]
    steps += [page] if scored is None else [scored, page]
    return Dag(tuple(steps), _problems(recipe, source, scored), rows_of(source))


def _problems(recipe: Recipe, source: Source, scored: Step | None) -> tuple[Problem, ...]:
    """What does not fit in the data, as far as it is known before anything runs."""
    found = [*source.problems, *soundscape_problems(source), *source.table_problems]
    if scored is None and (source.root / recipe.score.truth).is_file():
        detail = "no row of it is of a soundscape that is there: nothing is scored"
        found.append(Problem("truth of other soundscapes", recipe.score.truth, detail))
    return tuple(found)


def _unique(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Each artifact once, however many rounds read it."""
    return tuple({step.ref: step for step in steps}.values())
