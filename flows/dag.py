"""What depends on what: every step of a recipe, with its key, before anything runs.

The plan, the flow and the cache all read this one list. Steps come after what they read.
"""

from dataclasses import dataclass
from pathlib import Path

from birdcore.artifact import Ref, Step
from birdcore.audio import clean, fingerprint
from birdcore.catalog import catalog, folds, leaks
from birdcore.catalog.shards import Shard, shards
from birdcore.catalog.source import FOLDERS, Kind, Source
from birdcore.collect import collection
from birdcore.collect.selection import competition_of
from birdcore.collect.wanted import Collected, collected_part
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
        _refuse_what_lacks(one, source)
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
    mels = {kind: _features(recipe, source, parts[kind], roots[kind], steps) for kind in parts}
    folded = add(folds.step(cataloged, recipe.folds.count, recipe.seed))
    bases = {"birdclef": {"catalog": (cataloged,), "folds": (folded,), "mel": mels["train_audio"]}}
    if collected is not None:
        birds = add(collection.step(collected, _leaks(source, collected, parts, steps)))
        in_folds = add(folds.step(birds, recipe.folds.count, recipe.seed))
        bases["xeno-canto"] = {
            "catalog": (birds,), "folds": (in_folds,), "mel": mels["xeno_canto"]
        }  # fmt: skip
    soundscapes = mels["train_soundscapes"]

    models: dict[str, dict[tuple[str, int], Ref]] = {}
    for one in recipe.round:
        inputs = dict(bases[one.data])
        if _labels_soundscapes(one) or one.background.probability:
            inputs["soundscapes"] = soundscapes
        models[one.name] = _models(recipe, one, inputs, models, steps)

    members = {name: tuple(models[name].values()) for name in recipe.members}
    mixed = recipe.ensemble
    weighed = add(ensemble.step(mixed.weights, members, mixed.blend, mixed.power))
    heard = {
        one.name: tuple(
            add(predict.step(one.name, at, tuple(models[one.name].values()), part, recipe.predict))
            for at, part in enumerate(mels["test_soundscapes"])
        )
        for one in recipe.heard
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
        for key, wanted in (
            ("teacher", _labels_soundscapes(one)),
            ("background", one.background.probability),
        ):
            if wanted:
                raise ValueError(
                    f"{key} of round {one.name!r} needs soundscapes, and there are none in "
                    f"{source.root / 'train_soundscapes'}"
                )
    if one.weights is not None and not Path(one.weights).is_file():
        raise ValueError(f"weights of round {one.name!r}: there is no file {one.weights}")


def _labels_soundscapes(one: Round) -> bool:
    return one.teacher is not None and one.label.of != "clips"


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


def _features(
    recipe: Recipe, source: Source, parts: list[Shard], root: Path, steps: list[Step]
) -> tuple[Ref, ...]:
    """Clean and mel of each shard; the mels."""
    cleaned = [clean.step(shard, recipe.clean, source.overrides, root) for shard in parts]
    mels = [
        mel.step(shard, before.ref, recipe.mel, recipe.clean, root)
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
    """The models of a round, by backbone and fold; each starts from its own kind, if at all.

    Where other data has fewer folds, its first model starts those that have none of their own.
    """
    models = {}
    for backbone in one.backbones:
        for fold in recipe.folds_of(one):
            start = {}
            if one.start:
                models_of = earlier[one.start].items()
                of_backbone = {f: ref for (b, f), ref in models_of if b == backbone}
                first = next(iter(of_backbone.values()))
                start = {"start": (of_backbone.get(fold, first),)}
            taught = _labels(one, fold, inputs, earlier, steps)
            step = train.step(one, backbone, fold, recipe.seed, inputs | start | taught)
            steps.append(step)
            models[backbone, fold] = step.ref
    return models


def _labels(
    one: Round,
    fold: int,
    inputs: dict[str, tuple[Ref, ...]],
    earlier: dict[str, dict[tuple[str, int], Ref]],
    steps: list[Step],
) -> dict[str, tuple[Ref, ...]]:
    """What a round's teacher says of soundscapes and clips, for the models of a fold."""
    if one.teacher is None:
        return {}
    own = one.label.teachers == "own"
    folds = inputs["folds"][0] if one.label.teachers == "out-of-fold" else None
    teacher = tuple(ref for (_, f), ref in earlier[one.teacher].items() if f == fold or not own)
    taught = {}
    listened: list[tuple[label.Of, str, tuple[Ref, ...]]] = [
        ("soundscapes", "labels", inputs.get("soundscapes", ())),
        ("clips", "clip_labels", inputs["mel"]),
    ]
    for of, key, parts in listened:
        if one.label.of in (of, "both"):
            labelled = [
                label.step(one, of, at, teacher, part, fold=fold if own else None, folds=folds)
                for at, part in enumerate(parts)
            ]
            steps += labelled
            taught[key] = tuple(step.ref for step in labelled)
    return taught


def _once(steps: list[Step]) -> tuple[Step, ...]:
    """Each artifact is made once, however many rounds ask for it."""
    return tuple({step.ref: step for step in steps}.values())
