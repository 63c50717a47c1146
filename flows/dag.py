"""What depends on what: every step of a recipe, with its key, before anything runs.

The plan, the flow and the cache all read this one list. Steps come after what they read.
"""

from dataclasses import dataclass
from pathlib import Path

from birdcore.artifact import Ref, Step
from birdcore.audio import clean
from birdcore.catalog import catalog, folds
from birdcore.catalog.shards import Shard, shards
from birdcore.catalog.source import Source
from birdcore.label import label
from birdcore.learn import train
from birdcore.mel import mel
from birdcore.predict import ensemble, predict, submission
from birdcore.recipe import Recipe, Round
from birdcore.score import score
from birdcore.store import Store


@dataclass(frozen=True)
class Dag:
    """Steps in an order in which they can run, and which of them a person asked for."""

    steps: tuple[Step, ...]
    submission: Step
    score: Step | None


def build_dag(recipe: Recipe, source: Source, store: Store, *, keep_shards: bool) -> Dag:
    """The DAG of a recipe on a data folder; `keep_shards` writes new shards to the ledger.

    Raises ValueError where a round needs what is not there.
    """
    for one in recipe.round:
        _refuse_what_lacks(one, source)
    parts = shards(source, store, recipe.shards.recordings, keep=keep_shards)
    steps: list[Step] = []

    def add(step: Step) -> Ref:
        steps.append(step)
        return step.ref

    cataloged = add(catalog.step(source))
    mels = {kind: _features(recipe, source, parts[kind], steps) for kind in parts}
    folded = add(folds.step(cataloged, recipe.folds.count, recipe.seed))
    base = {"catalog": (cataloged,), "folds": (folded,), "mel": mels["train_audio"]}
    soundscapes = mels["train_soundscapes"]

    models: dict[str, dict[tuple[str, int], Ref]] = {}
    for one in recipe.round:
        inputs = dict(base)
        if one.teacher is not None:
            teacher = tuple(models[one.teacher].values())
            inputs["labels"] = tuple(
                add(label.step(one, at, teacher, part)) for at, part in enumerate(soundscapes)
            )
        if one.teacher is not None or one.background.probability:
            inputs["soundscapes"] = soundscapes
        models[one.name] = _models(recipe, one, inputs, models, steps)

    members = {name: tuple(models[name].values()) for name in recipe.members}
    weighed = add(ensemble.step(recipe.ensemble.weights, members))
    heard = {
        name: tuple(
            add(predict.step(name, at, tuple(of_round.values()), part, recipe.predict))
            for at, part in enumerate(mels["test_soundscapes"])
        )
        for name, of_round in models.items()
    }
    submitted = submission.step(recipe.predict, source, cataloged, weighed, heard)
    steps.append(submitted)
    scored = score.step(recipe.score, source, submitted.ref)
    if scored is not None:
        steps.append(scored)
    return Dag(_once(steps), submitted, scored)


def _refuse_what_lacks(one: Round, source: Source) -> None:
    """Said before any work: without soundscapes a student would be one in name only."""
    if not source.audio["train_soundscapes"]:
        for key, wanted in (("teacher", one.teacher), ("background", one.background.probability)):
            if wanted:
                raise ValueError(
                    f"{key} of round {one.name!r} needs soundscapes, and there are none in "
                    f"{source.root / 'train_soundscapes'}"
                )
    if one.weights is not None and not Path(one.weights).is_file():
        raise ValueError(f"weights of round {one.name!r}: there is no file {one.weights}")


def _features(
    recipe: Recipe, source: Source, parts: list[Shard], steps: list[Step]
) -> tuple[Ref, ...]:
    """Clean and mel of each shard; the mels."""
    cleaned = [clean.step(shard, recipe.clean, source.overrides, source.root) for shard in parts]
    mels = [
        mel.step(shard, before.ref, recipe.mel, recipe.clean, source.root)
        for shard, before in zip(parts, cleaned, strict=True)
    ]
    steps += cleaned + mels
    return tuple(step.ref for step in mels)


def _models(
    recipe: Recipe,
    one: Round,
    inputs: dict[str, tuple[Ref, ...]],
    earlier: dict[str, dict[tuple[str, int], Ref]],
    steps: list[Step],
) -> dict[tuple[str, int], Ref]:
    """The models of a round, by backbone and fold; each starts from its own kind, if at all."""
    models = {}
    for backbone in one.backbones:
        for fold in recipe.folds.trained:
            start = {"start": (earlier[one.start][backbone, fold],)} if one.start else {}
            step = train.step(one, backbone, fold, recipe.seed, inputs | start)
            steps.append(step)
            models[backbone, fold] = step.ref
    return models


def _once(steps: list[Step]) -> tuple[Step, ...]:
    """Each artifact is made once, however many rounds ask for it."""
    return tuple({step.ref: step for step in steps}.values())
