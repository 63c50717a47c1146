"""The recipe: one TOML file that says what to build, read into typed, frozen models.

Every setting has its meaning and its allowed values here, and nothing else may be set: a wrong
key or value is refused before any work, with file, line, key, what is allowed and the nearest
right spelling.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from birdcore.mel.spec import PRESETS, MelSpec

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]


class RecipeError(ValueError):
    """A recipe that can't be built; the message names file, line and key."""


class Section(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Shards(Section):
    recordings: Count = 128
    """Recordings in a new shard; recordings that have a shard stay there."""


class Clean(Section):
    remove: Literal["all", "none"] | Share = "all"
    """"all" speech, "none", or the recordings' share in which speech is cut (9th place: half)."""
    margin_s: Seconds = 0.3
    fade_s: Seconds = 0.02
    threshold: Share = 0.5
    min_speech_s: Seconds = 0.25
    min_silence_s: Seconds = 0.1
    min_kept_s: Seconds = 0.5
    """Pieces between cuts that are shorter than this go with the cuts."""
    min_duration_s: Seconds = 0.5
    """A training recording with less left after cleaning is rejected."""
    max_rejected: Share = 0.5
    """A shard of which more is rejected fails: then something else is wrong."""


class Mel(Section):
    """A preset, or its numbers, or a preset with other numbers."""

    preset: str | None = None
    sample_rate: Count | None = None
    n_fft: Count | None = None
    hop_length: Count | None = None
    n_mels: Count | None = None
    f_min: Seconds | None = None
    f_max: Positive | None = None
    power: Literal[1, 2] | None = None
    mel_scale: Literal["htk", "slaney"] | None = None
    dtype: Literal["uint8", "float16"] = "uint8"

    def spec(self) -> MelSpec:
        """The numbers; raises ValueError for an unknown preset or numbers that don't fit."""
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset {self.preset!r} is not one of {', '.join(PRESETS)}")
        base = PRESETS[self.preset].model_dump() if self.preset else {}
        own = self.model_dump(exclude={"preset", "dtype"}, exclude_none=True)
        return MelSpec(**{**base, **own})

    @model_validator(mode="after")
    def _numbers_fit(self) -> "Mel":
        self.spec()
        return self


class Folds(Section):
    count: Annotated[int, Field(ge=2)] = 5
    train: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Which folds get a model (each is validated on its own recordings); all, if not said."""

    @property
    def trained(self) -> tuple[int, ...]:
        return tuple(range(self.count)) if self.train is None else self.train

    @model_validator(mode="after")
    def _folds_exist(self) -> "Folds":
        if not self.trained or max(self.trained) >= self.count:
            raise ValueError(f"train names folds 0 to {self.count - 1}, at least one")
        if len(set(self.trained)) < len(self.trained):
            raise ValueError("train names a fold twice")
        return self


class Mixup(Section):
    probability: Share = 0.5
    alpha: Positive = 0.5
    labels: Literal["soft", "max", "add"] = "max"


class Sumix(Section):
    """Clips laid over each other, each at a gain of its own (13th place 2025)."""

    probability: Share = 0.0
    gain_db: Seconds = 6.0


class Mask(Section):
    """SpecAugment: masks of up to so many mel bins and seconds."""

    frequency_masks: Annotated[int, Field(ge=0)] = 1
    frequency_bins: Annotated[int, Field(ge=0)] = 16
    time_masks: Annotated[int, Field(ge=0)] = 1
    time_s: Seconds = 0.5


class Background(Section):
    """Unlabelled soundscapes laid under labelled clips, without labels of their own."""

    probability: Share = 0.0
    snr_db: tuple[float, float] = (0.0, 20.0)


class PseudoLabels(Section):
    """How a teacher's predictions on soundscapes become labels of a student."""

    segment_s: Positive = 5.0
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    threshold: Share = 0.0
    """Segments whose best probability is below are left out (winners: .3 to .5)."""
    high: Share = 0.5
    low: Share = 0.5
    """Only probabilities of at least `high` or at most `low` count (10th place: .7 and .3)."""
    power: Positive = 1.0
    """Probabilities to this power (1st place: 1, then 1.54, 1.82, 1.67)."""

    @model_validator(mode="after")
    def _ordered(self) -> "PseudoLabels":
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Round(Section):
    """One training round: a model for each backbone and fold."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    data: Literal["birdclef"] = "birdclef"
    backbones: Annotated[tuple[str, ...], Field(min_length=1)]
    pretrained: bool = False
    weights: str | None = None
    """A local file of pretrained weights, instead of timm's download."""
    start: str | None = None
    """An earlier round whose weights this one starts from."""
    teacher: str | None = None
    """An earlier round that labels the soundscapes; every labelled clip is mixed with one."""
    mix: Share = 0.5
    """Constant weight of the soundscape in such a mix (1st place: .5)."""
    mix_share: Share = 1.0
    """Share of clips that are mixed with a pseudo-labelled soundscape (1st place: all)."""
    match_power: bool = True
    """Bring clip and soundscape to one mean power before they are mixed."""
    label: PseudoLabels = PseudoLabels()

    epochs: Count = 30
    batch: Count = 64
    repeat: Count = 1
    """Crops of each recording in an epoch."""
    min_per_class: Annotated[int, Field(ge=0)] = 0
    """Recordings of rarer classes are repeated up to this number (5th place: 20)."""
    crop_s: Positive = 5.0
    window_s: Positive | None = None
    """Windows of validation, labelling and prediction; as long as the crops, if not said."""
    first_s: Positive | None = None
    """Crops come from the recording's first seconds only (5th place: 60 and 30)."""
    loud_crops: Share = 0.0
    """Probability that the louder of two random crops is taken."""

    learning_rate: Positive = 5e-4
    final_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights; 0 is none (12th place: .999)."""
    precision: Literal["bf16", "float32"] = "bf16"
    """bf16 autocast where the device computes it natively; float32 on others."""

    loss: Literal["bce", "focal"] = "bce"
    framewise_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss on the loudest frame beside the one on the clip."""
    secondary_weight: Share = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip: Literal["probability", "logit"] = "probability"
    frequency_pool: Literal["mean", "mean+max"] = "mean"
    normalise: Literal["zscore", "minmax", "bins", "none"] = "zscore"
    top_db: Positive | None = 80.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gain_db: Seconds = 0.0
    mixup: Mixup = Mixup()
    sumix: Sumix = Sumix()
    mask: Mask = Mask()
    background: Background = Background()
    validate_every: Count = 1

    @model_validator(mode="after")
    def _fits(self) -> "Round":
        if self.weights is not None and not self.pretrained:
            raise ValueError("weights needs pretrained = true")
        if self.start is not None and self.pretrained:
            raise ValueError("start and pretrained = true exclude each other")
        return self


class Ensemble(Section):
    members: tuple[str, ...] | None = None
    """Rounds whose models are weighed; all rounds, if not said."""
    weights: Literal["nnls", "mean", "rank"] = "nnls"


class Predict(Section):
    step_s: Positive = 2.5
    """From window to window; a window is as long as the round's crops."""
    segment_s: Positive = 5.0
    gaussian: Annotated[float, Field(ge=0)] = 0.0
    """Sigma, in rows of 5 s, of a smoothing over time."""
    neighbours: bool = False
    """Smoothing with [.1 .2 .4 .2 .1] (1st place)."""
    delta_shift: Share = 0.0
    """Share of the rows two before and two after (1st place: .5)."""


class Score(Section):
    truth: str = "test_soundscapes_labels.csv"
    """Where it lies in the data, the submission and each round are scored against it."""
    bootstrap: Count = 1000


class Recipe(Section):
    """What to build."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = "recipe"
    seed: Annotated[int, Field(ge=0)] = 0
    shards: Shards = Shards()
    clean: Clean = Clean()
    mel: Mel = Mel(preset="config_128")
    folds: Folds = Folds()
    round: Annotated[tuple[Round, ...], Field(min_length=1)]
    ensemble: Ensemble = Ensemble()
    predict: Predict = Predict()
    score: Score = Score()

    @property
    def members(self) -> tuple[str, ...]:
        return self.ensemble.members or tuple(r.name for r in self.round)

    @model_validator(mode="after")
    def _rounds_are_known(self) -> "Recipe":
        earlier: list[str] = []
        for at, one in enumerate(self.round):
            for key in ("start", "teacher"):
                wanted = getattr(one, key)
                if wanted is not None and wanted not in earlier:
                    raise ValueError(
                        f"round[{at}].{key} = {wanted!r} is no earlier round"
                        f"{_nearest(wanted, earlier)}"
                    )
            if one.name in earlier:
                raise ValueError(f"round[{at}].name = {one.name!r} is taken by an earlier round")
            earlier.append(one.name)
        for member in self.members:
            if member not in earlier:
                raise ValueError(
                    f"ensemble.members names {member!r}, which is no round"
                    f"{_nearest(member, earlier)}"
                )
        return self

    @model_validator(mode="after")
    def _starts_fit(self) -> "Recipe":
        rounds = {r.name: r for r in self.round}
        for at, one in enumerate(self.round):
            if one.start is not None and one.backbones != rounds[one.start].backbones:
                raise ValueError(f"round[{at}].start needs the same backbones as {one.start!r}")
        return self


def read_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, with `key=value` settings laid over it.

    Raises RecipeError with all that is wrong, one line each.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from None
    tree.setdefault("name", re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "recipe")
    for setting in settings:
        _lay_over(tree, setting)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        lines = [_complaint(path, text, e) for e in error.errors()]
        raise RecipeError("\n".join(lines)) from None


def _lay_over(tree: dict[str, Any], setting: str) -> None:
    """Set `mel.preset=config_96` or `round.1.epochs=3` in the tree."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise RecipeError(f"--set {setting}: write KEY=VALUE, for example mel.preset=config_96")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    node: Any = tree
    *parents, last = key.strip().split(".")
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = parsed
        else:
            node[last] = parsed
    except (ValueError, IndexError, AttributeError, TypeError):
        raise RecipeError(f"--set {setting}: the recipe has no {key}") from None


def _complaint(path: Path, text: str, error: Mapping[str, Any]) -> str:
    location = [part for part in error["loc"] if not _is_union_branch(part)]
    key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
    line = _line_of(text, location)
    where = f"{path}:{line}" if line else str(path)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        allowed = _keys_at(location[:-1])
        near = _nearest(str(location[-1]), allowed)
        return f"{where}: unknown key {key!r}{near or '; allowed: ' + ', '.join(allowed)}"
    if error["type"] == "missing":
        return f"{where}: {key} is missing"
    given = error.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{where}: {key + ': ' if key else ''}{message[0].lower()}{message[1:]}{shown}"


def _is_union_branch(part: str | int) -> bool:
    return isinstance(part, str) and bool(re.search(r"[\[\(]|^(float|int|str)$", part))


def _keys_at(location: Sequence[str | int]) -> list[str]:
    """The keys that a table of the recipe may have."""
    model: Any = Recipe
    for part in location:
        if isinstance(part, int):
            continue
        model = Round if part == "round" else model.model_fields[part].annotation
    return list(model.model_fields)


def _nearest(word: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _line_of(text: str, location: Sequence[str | int]) -> int | None:
    """The line of a key in TOML text, found by its table header and its name."""
    table: list[str] = []
    seen = -1
    wanted = [p for p in location if isinstance(p, str)]
    index = next((p for p in location if isinstance(p, int)), None)
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([\w.\-\s]+?)\s*\]+", line):
            table = header[1].split(".")
            seen += table == ["round"] and line.lstrip().startswith("[[")
            if table == wanted and (index is None or seen == index):
                return number
        elif (assignment := re.match(r"\s*([\w\-.]+)\s*=", line)) and (
            index is None or table[:1] != ["round"] or seen == index
        ):
            path = [*table, *assignment[1].split(".")]
            if path == wanted[: len(path)] and len(path) > len(wanted) - 2 and path:
                return number
    return None
