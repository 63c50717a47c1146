"""What depends on what: every step of a recipe, with its key, before anything runs.

The plan, the flow and the cache all read this one list. Steps come after what they read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    fingerprint,
    folds,
    leaks,
    mel,
    predict,
    report,
    score,
    submission,
)
from birdcore.stages import external_teacher as outside
from birdcore.stages.catalog import training_problems
from birdcore.stages.external_teacher import teacher_named
from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from flows.rounds import heard_by_outside, hears_soundscapes, models_of_round, refuse_what_lacks


@dataclass(frozen=True)
class Dag:
    """Steps in an order in which they can run, and which of them a person asked for.

    `problems`: what does not fit in the data, as far as it is known before anything runs; `names`:
    what the rows of each test soundscape are called.
    """

    steps: tuple[Step, ...]
    submission: Step
    score: Step | None
    problems: tuple[Problem, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def of(self, stage: str) -> list[Step]:
        return [step for step in self.steps if step.stage == stage]


def gathered(recipe: Recipe, source: Source, folder: Path) -> Collected | None:
    """What a recipe's rounds have of the collection, where they want any.

    Raises ValueError where there is nothing of it.
    """
    wanted = recipe.collects
    if wanted is None:
        return None
    return collected_part(folder, wanted, competition_of(source.csv))


def build_dag(
    recipe: Recipe,
    source: Source,
    store: Store,
    collected: Collected | None = None,
    *,
    keep_shards: bool,
) -> Dag:
    """The DAG of a recipe on a data folder and, where a round wants them, Xeno-canto recordings.

    `keep_shards` writes new shards to the ledger. Raises ValueError where a round needs what is
    not there.
    """
    for one in recipe.round:
        refuse_what_lacks(one, source)
    audio = dict(source.audio)
    roots = dict.fromkeys(audio, source.root)
    if collected is not None:
        audio["xeno_canto"], roots["xeno_canto"] = collected.audio, collected.root
    parts = shards(audio, store, recipe.shards.recordings, keep=keep_shards)
    steps: list[Step] = []

    def add(step: Step) -> Ref:
        steps.append(step)
        return step.ref

    cataloged = add(catalog.step(source))
    cleanings: dict[Kind, tuple[Ref, ...]] = {}
    mels: dict[Kind, tuple[Ref, ...]] = {}
    heard: dict[Kind, tuple[Ref, ...]] = {}
    for kind in parts:
        cleaned = _cleaned(recipe, source, parts[kind], roots[kind], steps)
        cleanings[kind] = tuple(step.ref for step in cleaned)
        mels[kind] = _mels(recipe, parts[kind], cleaned, roots[kind], steps)
        heard[kind] = _heard(recipe, source, kind, parts[kind], cleaned, roots[kind], steps)
    folded = add(folds.step(cataloged, recipe.folds.count, recipe.seed))
    catalogs = [cataloged]
    bases = {
        "birdclef": _base(cataloged, folded, mels["train_audio"], heard["train_audio"]),
    }
    if collected is not None:
        birds = add(collection.step(collected, _leaks(source, collected, parts, steps)))
        in_folds = add(folds.step(birds, recipe.folds.count, recipe.seed))
        catalogs.append(birds)
        bases["xeno-canto"] = _base(birds, in_folds, mels["xeno_canto"], heard["xeno_canto"])

    models: dict[str, dict[tuple[str, int], Ref]] = {}
    for one in recipe.round:
        inputs = dict(bases[one.data])
        if hears_soundscapes(one) or one.background.probability:
            inputs["soundscapes"] = mels["train_soundscapes"]
            inputs["heard_soundscapes"] = heard["train_soundscapes"]
        models[one.name] = models_of_round(recipe, one, inputs, models, steps)

    members = {n: tuple(models[n].values()) for n in recipe.members if n != EXTERNAL_TEACHER}
    tests = mels["test_soundscapes"]
    told = None
    if recipe.external_teacher is not None and EXTERNAL_TEACHER in recipe.members:
        told = (recipe.external_teacher.teacher, heard["train_audio"], cataloged)
    weighed = add(ensemble.step(recipe.ensemble, members, told))
    predicted = {
        one.name: tuple(
            add(predict.step(one.name, at, tuple(models[one.name].values()), part, recipe.predict))
            for at, part in enumerate(tests)
        )
        for one in recipe.heard
    }
    if told is not None:
        predicted[EXTERNAL_TEACHER] = tuple(
            add(predict.outside_step(told[0], at, sound, part, cataloged, recipe.predict))
            for at, (sound, part) in enumerate(zip(heard["test_soundscapes"], tests, strict=True))
        )
    submitted = submission.step(recipe.predict, source, cataloged, weighed, predicted)
    steps.append(submitted)
    scored = score.step(recipe.score, source, submitted.ref)
    if scored is not None:
        steps.append(scored)
    of_rounds = {name: tuple(of_round.values()) for name, of_round in models.items()}
    add(
        report.step(
            recipe, source, catalogs, cleanings, mels, of_rounds, weighed, submitted.ref, scored
        )
    )
    problems = [*source.problems, *soundscape_problems(source), *training_problems(source)]
    if scored is None and (source.root / recipe.score.truth).is_file():
        what = "no row of it is of a soundscape that is there: nothing is scored"
        problems.append(Problem("truth of other soundscapes", recipe.score.truth, what))
    return Dag(_once(steps), submitted, scored, tuple(problems), rows_of(source))


def _leaks(
    source: Source, collected: Collected, parts: dict[Kind, list[Shard]], steps: list[Step]
) -> tuple[Ref, ...]:
    """Fingerprints of all audio, and for each shard of the collection what the competition has."""
    competition = [
        fingerprint.step(shard, source.root) for kind in FOLDERS for shard in parts[kind]
    ]
    known = tuple(step.ref for step in competition)
    files = [file for kind in FOLDERS for file in source.audio[kind]]
    steps += competition
    found = []
    for shard in parts["xeno_canto"]:
        sound = fingerprint.step(shard, collected.root)
        found.append(leaks.step(shard, sound.ref, known, files, _urls(source)))
        steps += [sound, found[-1]]
    return tuple(step.ref for step in found)


def _urls(source: Source) -> list[tuple[str, str]]:
    """Training recordings, each with the address that train.csv gives it."""
    train = source.csv.train
    named = zip(train["filename"], train["url"], strict=True)
    return [(f"train_audio/{name}", url) for name, url in named]


def _cleaned(
    recipe: Recipe, source: Source, parts: list[Shard], root: Path, steps: list[Step]
) -> list[Step]:
    cleaned = [clean.step(shard, recipe.clean, source.overrides, root) for shard in parts]
    steps += cleaned
    return cleaned


def _mels(
    recipe: Recipe, parts: list[Shard], cleaned: list[Step], root: Path, steps: list[Step]
) -> tuple[Ref, ...]:
    mels = [
        mel.step(shard, before.ref, recipe.mel, recipe.clean, root)
        for shard, before in zip(parts, cleaned, strict=True)
    ]
    steps += mels
    return tuple(step.ref for step in mels)


def _heard(
    recipe: Recipe,
    source: Source,
    kind: Kind,
    parts: list[Shard],
    cleaned: list[Step],
    root: Path,
    steps: list[Step],
) -> tuple[Ref, ...]:
    """What the outside teacher hears in each shard, where the recipe asks for it."""
    wanted = recipe.external_teacher
    if wanted is None or kind not in heard_by_outside(recipe):
        return ()
    teacher = teacher_named(wanted.teacher)
    species = () if kind == "xeno_canto" else tuple(source.csv.taxonomy["scientific_name"])
    heard = [
        outside.step(shard, before.ref, teacher, wanted.hop_s, species, recipe.clean, root)
        for shard, before in zip(parts, cleaned, strict=True)
    ]
    steps += heard
    return tuple(step.ref for step in heard)


def _base(
    cataloged: Ref, folded: Ref, mels: tuple[Ref, ...], heard: tuple[Ref, ...]
) -> dict[str, tuple[Ref, ...]]:
    """What every round on one source of recordings reads."""
    return {"catalog": (cataloged,), "folds": (folded,), "mel": mels, "heard": heard}


def _once(steps: list[Step]) -> tuple[Step, ...]:
    """Each artifact is made once, however many rounds ask for it."""
    return tuple({step.ref: step for step in steps}.values())
