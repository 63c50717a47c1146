"""What depends on what: every step of a recipe, with its key, before anything runs.

The plan, the flow and the cache all read this one list. Steps come after what they read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from birdcore.config import Recipe
from birdcore.config.validation import EXTERNAL_TEACHER
from birdcore.sources.birdclef import FOLDERS, Kind, Source
from birdcore.sources.collection import Collected, collected_part, competition_of
from birdcore.sources.shards import Shard, shards
from birdcore.sources.soundscapes import rows_of, soundscape_problems
from birdcore.sources.tables import Problem
from birdcore.stages import (
    catalog,
    clean,
    collection,
    ensemble,
    external_teacher,
    fingerprint,
    folds,
    leaks,
    mel,
    predict,
    report,
    score,
    submission,
)
from birdcore.stages.catalog import training_problems
from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from birdcore.teachers import teacher_named
from flows.rounds import (
    Models,
    Prepared,
    Refs,
    RoundData,
    kinds_with_outputs,
    models_of,
    refs,
    refuse_missing,
    steps_of_round,
)


@dataclass(frozen=True)
class Dag:
    """The steps of a recipe, and what its results are read from.

    Attributes:
        steps: All steps, in an order in which they can run.
        submission: The step that writes the submission.
        score: The step that scores it, where the data has a truth.
        problems: What does not fit in the data, as far as it is known before anything runs.
        names: What the rows of each test soundscape are called.
    """

    steps: tuple[Step, ...]
    submission: Step
    score: Step | None
    problems: tuple[Problem, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def of(self, stage: str) -> list[Step]:
        """The steps of a stage."""
        return [step for step in self.steps if step.stage == stage]


def gathered(recipe: Recipe, source: Source, folder: Path) -> Collected | None:
    """The recordings of a collection that a recipe's rounds read; None where no round reads any.

    Raises:
        ValueError: The collection in `folder` has none of them yet.
    """
    if recipe.collects is None:
        return None
    return collected_part(folder, recipe.collects, competition_of(source.csv))


def build_dag(
    recipe: Recipe,
    source: Source,
    store: Store,
    collected: Collected | None = None,
    *,
    keep_shards: bool,
) -> Dag:
    """The DAG of a recipe on a data folder and, where a round reads it, a collection.

    Args:
        recipe: What to build.
        source: The data folder.
        store: Where the ledger of shards is.
        collected: The recordings of the collection.
        keep_shards: Write new shards to the ledger.

    Raises:
        ValueError: A round needs what is not there.
    """
    for round_config in recipe.round:
        refuse_missing(round_config, source)
    audio, roots = dict(source.audio), dict.fromkeys(source.audio, source.root)
    if collected is not None:
        audio["xeno_canto"], roots["xeno_canto"] = collected.audio, collected.root
    parts = shards(audio, store, recipe.shards.recordings, keep=keep_shards)
    recordings = {kind: _prepare(recipe, source, kind, parts[kind], roots[kind]) for kind in parts}
    cataloged = catalog.step(source)
    folded = folds.step(cataloged.ref, recipe.folds.count, recipe.seed)
    steps = [cataloged, *(step for kind in recordings.values() for step in kind.steps), folded]
    clips, soundscapes = recordings["train_audio"], recordings["train_soundscapes"]
    data = {"birdclef": RoundData(cataloged.ref, folded.ref, clips, soundscapes)}
    if collected is not None:
        added = _collection_steps(recipe, source, collected, parts)
        birds, bird_folds = refs(added[-2:])
        steps += added
        data["xeno-canto"] = RoundData(birds, bird_folds, recordings["xeno_canto"], soundscapes)
    models: dict[str, Models] = {}
    for round_config in recipe.round:
        added = steps_of_round(recipe, round_config, data[round_config.data], models)
        models[round_config.name] = models_of(added)
        steps += added
    results = _results(recipe, source, recordings, data, models)
    return replace(results, steps=_unique([*steps, *results.steps]))


def _prepare(
    recipe: Recipe, source: Source, kind: Kind, parts: Sequence[Shard], root: Path
) -> Prepared:
    """The steps that prepare the recordings of a kind, which lie below `root`."""
    cleaned = tuple(clean.step(part, recipe.clean, source.overrides, root) for part in parts)
    both = list(zip(parts, refs(cleaned), strict=True))
    mels = tuple(mel.step(part, ref, recipe.mel, recipe.clean, root) for part, ref in both)
    settings = recipe.external_teacher
    if settings is None or kind not in kinds_with_outputs(recipe):
        return Prepared(cleaned, mels)
    teacher = teacher_named(settings.teacher)
    # The classes of a collection are its own: of those recordings only embeddings are read.
    species = () if kind == "xeno_canto" else tuple(source.csv.taxonomy["scientific_name"])
    outputs = tuple(
        external_teacher.step(part, ref, teacher, settings.hop_s, species, recipe.clean, root)
        for part, ref in both
    )
    return Prepared(cleaned, mels, outputs)


def _collection_steps(
    recipe: Recipe, source: Source, collected: Collected, parts: Mapping[Kind, Sequence[Shard]]
) -> list[Step]:
    """The collection without what the competition has too; the last two are its tables and folds.

    Fingerprints of all audio tell which recordings are the same, a step for each shard.
    """
    competition = [fingerprint.step(part, source.root) for kind in FOLDERS for part in parts[kind]]
    files = [file for kind in FOLDERS for file in source.audio[kind]]
    train = source.csv.train
    names = ("train_audio/" + train["filename"]).tolist()
    urls = list(zip(names, train["url"].tolist(), strict=True))
    compared = []
    for part in parts["xeno_canto"]:
        own = fingerprint.step(part, collected.root)
        compared += [own, leaks.step(part, own.ref, refs(competition), files, urls)]
    birds = collection.step(collected, refs(compared[1::2]))
    return [
        *competition,
        *compared,
        birds,
        folds.step(birds.ref, recipe.folds.count, recipe.seed),
    ]


def _results(
    recipe: Recipe,
    source: Source,
    recordings: Mapping[Kind, Prepared],
    data: Mapping[str, RoundData],
    models: Mapping[str, Models],
) -> Dag:
    """The DAG's end: the ensemble, its predictions, the submission, its score and the report."""
    cataloged, trained = data["birdclef"].catalog, _by_round(models)
    weights = _ensemble(recipe, recordings, cataloged, trained)
    predicted = _predictions(recipe, recordings["test_soundscapes"], cataloged, trained)
    predictions = {name: refs(steps) for name, steps in predicted.items()}
    submitted = submission.step(recipe.predict, source, cataloged, weights.ref, predictions)
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
    )
    steps = [weights, *(step for of_round in predicted.values() for step in of_round), submitted]
    steps += [page] if scored is None else [scored, page]
    problems = _problems(recipe, source, scored)
    return Dag(tuple(steps), submitted, scored, problems, rows_of(source))


def _by_round(models: Mapping[str, Models]) -> dict[str, Refs]:
    return {name: tuple(of_round.values()) for name, of_round in models.items()}


def _is_member(recipe: Recipe) -> bool:
    """Whether the external teacher is a member of the ensemble."""
    return recipe.external_teacher is not None and EXTERNAL_TEACHER in recipe.members


def _ensemble(
    recipe: Recipe,
    recordings: Mapping[Kind, Prepared],
    cataloged: Ref,
    trained: Mapping[str, Refs],
) -> Step:
    members = {name: trained[name] for name in recipe.members if name != EXTERNAL_TEACHER}
    external = None
    if recipe.external_teacher is not None and _is_member(recipe):
        external = (
            recipe.external_teacher.teacher,
            refs(recordings["train_audio"].outputs),
            cataloged,
        )
    return ensemble.step(recipe.ensemble, members, external)


def _predictions(
    recipe: Recipe, tests: Prepared, cataloged: Ref, trained: Mapping[str, Refs]
) -> dict[str, list[Step]]:
    """The predictions of each round and of an external teacher that is a member, by shard."""
    mels = refs(tests.mels)
    predicted = {
        one.name: [
            predict.step(one.name, number, trained[one.name], part, recipe.predict)
            for number, part in enumerate(mels)
        ]
        for one in recipe.heard
    }
    if recipe.external_teacher is not None and _is_member(recipe):
        teacher = recipe.external_teacher.teacher
        shards_of_tests = zip(refs(tests.outputs), mels, strict=True)
        predicted[EXTERNAL_TEACHER] = [
            predict.outside_step(teacher, number, outputs, part, cataloged, recipe.predict)
            for number, (outputs, part) in enumerate(shards_of_tests)
        ]
    return predicted


def _problems(recipe: Recipe, source: Source, scored: Step | None) -> tuple[Problem, ...]:
    """What does not fit in the data, as far as it is known before anything runs."""
    found = [*source.problems, *soundscape_problems(source), *training_problems(source)]
    if scored is None and (source.root / recipe.score.truth).is_file():
        detail = "no row of it is of a soundscape that is there: nothing is scored"
        found.append(Problem("truth of other soundscapes", recipe.score.truth, detail))
    return tuple(found)


def _unique(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Each artifact once, however many rounds read it."""
    return tuple({step.ref: step for step in steps}.values())
