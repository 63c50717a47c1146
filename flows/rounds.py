"""The models of one round, what teaches them, and what they need to be there."""

from pathlib import Path

from birdcore.config import Recipe, Round
from birdcore.config.validation import EXTERNAL_TEACHER
from birdcore.sources.birdclef import Kind, Source
from birdcore.stages import label, train
from birdcore.store.artifact import Ref, Step


def refuse_what_lacks(one: Round, source: Source) -> None:
    """Said before any work: without soundscapes a student would be one in name only."""
    if not source.audio["train_soundscapes"]:
        for key, wanted in (
            ("teacher", one.teacher is not None and hears_soundscapes(one)),
            ("background", one.background.probability),
        ):
            if wanted:
                raise ValueError(
                    f"{key} of round {one.name!r} needs soundscapes, and there are none in "
                    f"{source.root / 'train_soundscapes'}"
                )
    if one.weights is not None and not Path(one.weights).is_file():
        raise ValueError(f"weights of round {one.name!r}: there is no file {one.weights}")


def hears_soundscapes(one: Round) -> bool:
    if one.learns == "embeddings":
        return one.data == "birdclef"
    return one.teacher is not None and one.label.of != "clips"


def heard_by_outside(recipe: Recipe) -> set[Kind]:
    """What the outside teacher listens to, for rounds or as a member of the ensemble."""
    heard: set[Kind] = (
        {"train_audio", "test_soundscapes"} if EXTERNAL_TEACHER in recipe.members else set()
    )
    return heard.union(*(_heard_for(one) for one in recipe.round))


def _heard_for(one: Round) -> set[Kind]:
    if one.learns == "embeddings":
        return {"xeno_canto"} if one.data == "xeno-canto" else {"train_audio", "train_soundscapes"}
    if one.teacher is None or (one.teacher != EXTERNAL_TEACHER and not one.label.external_weight):
        return set()
    of: dict[str, set[Kind]] = {
        "clips": {"train_audio"},
        "soundscapes": {"train_soundscapes"},
        "both": {"train_audio", "train_soundscapes"},
    }
    return of[one.label.of]


def models_of_round(
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
            read = {k: refs for k, refs in inputs.items() if not k.startswith("heard")}
            if one.learns == "embeddings":
                read = inputs
            step = train.step(one, backbone, fold, recipe.seed, read | start | taught)
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
    models = earlier.get(one.teacher, {})  # none of the outside teacher's
    teacher = tuple(ref for (_, f), ref in models.items() if f == fold or not own)
    taught = {}
    soundscapes, of_soundscapes = inputs.get("soundscapes", ()), inputs.get("heard_soundscapes", ())
    listened: list[tuple[label.Of, str, tuple[Ref, ...], tuple[Ref, ...]]] = [
        ("soundscapes", "labels", soundscapes, of_soundscapes),
        ("clips", "clip_labels", inputs["mel"], inputs["heard"]),
    ]
    for of, key, parts, heard in listened:
        if one.label.of in (of, "both"):
            said = (
                heard
                if one.teacher == EXTERNAL_TEACHER or one.label.external_weight
                else [None] * len(parts)
            )
            labelled = [
                label.step(
                    one,
                    of,
                    at,
                    teacher,
                    part,
                    fold=fold if own and teacher else None,
                    folds=folds,
                    outside=None if outside is None else (outside, inputs["catalog"][0]),
                )
                for at, (part, outside) in enumerate(zip(parts, said, strict=True))
            ]
            steps += labelled
            taught[key] = tuple(step.ref for step in labelled)
    return taught
