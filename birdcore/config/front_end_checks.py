"""What of a round does not go with the recipe's front end, or with what its backbones read of it.

2-D nets and most 1-D models read spectrograms, `conv_wave` reads samples. 1-D models have no
frequencies left to tell apart behind them; samples have none at all; and of some front ends no
power can be had back. Settings that would do nothing, or something else than they say, are refused.
"""

import json
from typing import TYPE_CHECKING, TypeAlias, get_args

from birdcore.config.backbone_names import SequenceName, is_backbone, nearest_names
from birdcore.config.round import Round
from birdcore.config.training import TrainSettings
from birdcore.config.validation_errors import WrongSetting

if TYPE_CHECKING:
    from birdcore.config.recipe import Recipe

READ_SAMPLES = ("conv_wave",)
WITHOUT_DEPTH = ("conv_gru", "conv_wave")
"""They have no paths for `drop_path` to drop."""

DEFAULT_TOP_DB = TrainSettings().top_db

Acting: TypeAlias = dict[tuple[str, ...], bool]
"""Whether settings, by their keys in a round, do something."""

INSTEAD = {
    ("mixup", "probability"): "set 0 (it is 0.5 where it is not set)",
    ("normalise",): 'choose "zscore", "minmax", "bins" or "none"',
    ("mix_as",): 'choose "replace" or "replace-same", or mix_share = 0',
    ("annotated", "mix"): 'set 0, or mix_as = "replace"',
    ("top_db",): "leave it out",
}
"""What to set where power is needed and there is none; else 0."""

INSTEAD_OF_BINS = {
    ("normalise",): 'choose "zscore", "minmax" or "none"',
    ("background", "source"): 'choose "soundscapes", or set background.probability to 0',
    ("mask", "frequency_masks"): "set 0 (it is 1 where it is not set)",
    ("top_db",): "leave it out",
}
"""What to set where frequencies are needed and there are samples; else 0."""


def check_front_end(recipe: "Recipe") -> None:
    """Raises WrongSetting for a round that its front end or its backbones make nothing of, or whose
    backbones do not exist."""
    for index, round_config in enumerate(recipe.round):
        if round_config.objective == "probe":  # which reads no features
            continue
        _check_backbones(recipe, index, round_config)
        _check_sequences(index, round_config)
    _check_augmentations(recipe)


def _check_backbones(recipe: "Recipe", index: int, round_config: Round) -> None:
    samples = recipe.mel.spec().recovers_wave
    for at, backbone in enumerate(round_config.backbones):
        if not is_backbone(backbone):
            near = nearest_names(backbone)
            hint = f"; the nearest are {', '.join(near)}" if near else ""
            raise WrongSetting(
                f"there is no such backbone{hint} (search: birdflow backbones PATTERN)",
                "round", index, "backbones", at,
            )  # fmt: skip
        if (backbone in READ_SAMPLES) == samples:
            continue
        features = json.dumps(recipe.mel.features)
        if samples:
            raise WrongSetting(
                f"reads spectrograms, and mel.features = {features} are samples: choose "
                f"{' or '.join(READ_SAMPLES)}, or another front end",
                "round", index, "backbones", at,
            )  # fmt: skip
        raise WrongSetting(
            f'reads samples, and mel.features = {features}: set features = ["wave"], or choose '
            "another backbone",
            "round", index, "backbones", at,
        )  # fmt: skip


def _check_sequences(index: int, round_config: Round) -> None:
    sequences = [name for name in round_config.backbones if name in get_args(SequenceName)]
    without_depth = [name for name in sequences if name in WITHOUT_DEPTH]
    useless = {
        "frequency_channel": (round_config.frequency_channel, sequences, "leave it out"),
        "frequency_pool": (round_config.frequency_pool != "mean", sequences, 'choose "mean"'),
        "drop_path": (round_config.drop_path > 0, without_depth, "set 0"),
    }
    for key, (acting, names, instead) in useless.items():
        if acting and names:
            raise WrongSetting(
                f"does nothing for backbones = {json.dumps(names)}, which have no "
                f"{'paths to drop' if key == 'drop_path' else 'frequencies in their features'}: "
                f"{instead}, or give other backbones a round of their own",
                "round", index, key,
            )  # fmt: skip


def _check_augmentations(recipe: "Recipe") -> None:
    """Nothing acts on power or frequencies under a front end that does not keep them."""
    spec = recipe.mel.spec()
    if spec.recovers_power:
        return
    for index, round_config in enumerate(recipe.round):
        if round_config.objective == "probe":
            continue
        acting = _on_bins(round_config) if spec.recovers_wave else _on_power(round_config)
        on = [key for key, acts in acting.items() if acts]
        if not on:
            continue
        others = ", ".join(".".join(key) for key in on[1:])
        same = f" (the same holds for {others})" * bool(others)
        features = json.dumps(recipe.mel.features)
        if spec.recovers_wave:
            raise WrongSetting(
                f"does not go with mel.features = {features}, samples without frequencies: "
                f"{INSTEAD_OF_BINS.get(on[0], 'set 0')}{same}. Of the augmentations mixup, sumix, "
                "background of soundscapes, gain_db, shift, padding with silence and masks of time "
                "go with it",
                "round", index, *on[0],
            )  # fmt: skip
        raise WrongSetting(
            f"does not go with mel.features = {features}, from which no power can be had back: "
            f"{INSTEAD.get(on[0], 'set 0')}{same}. "
            "Of the augmentations only reverse, flip_frequency, shift, padding with silence "
            "and mask go with it",
            "round", index, *on[0],
        )  # fmt: skip


def _on_power(round_config: Round) -> Acting:
    taught = round_config.teacher is not None and round_config.label.source != "clips"
    mixes = round_config.mix_as == "mix"
    names = ("mixup", "sumix", "background", "noise", "filter", "band")
    return _probable(round_config, *names) | {
        ("gain_db",): round_config.gain_db > 0,
        ("normalise",): round_config.normalise == "floor",
        ("mix_as",): taught and mixes and round_config.mix_share > 0,
        ("annotated", "mix"): round_config.annotated.mix > 0 and mixes,
        ("top_db",): _cuts_decibels(round_config),
    }


def _on_bins(round_config: Round) -> Acting:
    """What acts on some frequencies, or turns frames around without their samples."""
    background, mask = round_config.background, round_config.mask
    return _probable(round_config, "noise", "filter", "band") | {
        ("background", "source"): background.probability > 0 and background.source != "soundscapes",
        ("reverse",): round_config.reverse > 0,
        ("flip_frequency",): round_config.flip_frequency > 0,
        ("normalise",): round_config.normalise in ("floor", "bins"),
        ("mask", "frequency_masks"): mask.frequency_masks > 0 and mask.frequency_bins > 0,
        ("top_db",): _cuts_decibels(round_config),
    }


def _probable(round_config: Round, *names: str) -> Acting:
    return {(name, "probability"): getattr(round_config, name).probability > 0 for name in names}


def _cuts_decibels(round_config: Round) -> bool:
    return round_config.top_db != DEFAULT_TOP_DB
