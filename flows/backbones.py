"""Backbones of the models that a run is going to train: refused, or fetched, before any work.

A name that timm does not know, a net without a map for the recipe's bins and the round's crops, or
windows that it can't read, would else end a run after hours of decoding.
"""

from collections.abc import Sequence
from pathlib import Path

from birdcore.config import Recipe, Round
from birdcore.features.front_end import FrontEnd, from_settings
from birdcore.store.artifact import Step
from birdcore.store.store import Store
from flows.dag import Dag


def prepare_backbones(recipe: Recipe, dag: Dag, steps: Sequence[Step], store: Store) -> None:
    """Check the backbones of the trainings among `steps` that are to be done, and have their
    pretrained weights.

    Raises:
        ValueError: a backbone does not fit; the message names the round and its settings.
    """
    todo = {
        step.config["backbone"]
        for step in steps
        if step.stage == "train" and store.find(step.ref) is None
    }
    if not todo:
        return
    front_end = from_settings(dag.of("mel")[0].config["spec"])
    for round_config in recipe.round:
        for backbone in round_config.backbones:
            if backbone in todo:
                _prepare(round_config, backbone, front_end)


def _prepare(round_config: Round, backbone: str, front_end: FrontEnd) -> None:
    from birdcore.models.backbone import build_backbone, built_frames  # and torch

    channels = front_end.input_channels
    bins, frames = front_end.bins // channels, front_end.fixed_length(round_config.crop_s)
    channels += round_config.frequency_channel
    window = front_end.fixed_length(round_config.window_s or round_config.crop_s)
    try:
        built = built_frames(backbone, channels, (bins, frames), window)
    except ValueError as error:
        crops = f"crop_s = {round_config.crop_s:g}"
        if round_config.window_s is not None:
            crops += f", window_s = {round_config.window_s:g}"
        raise ValueError(
            f"round {round_config.name!r} (backbones; {crops}; {bins} bins of [mel]): {error}"
        ) from error
    if round_config.pretrained:
        weights = None if round_config.weights is None else Path(round_config.weights)
        size = None if built is None else (bins, built)
        build_backbone(backbone, pretrained=True, weights=weights, in_channels=channels, size=size)
