"""Weights of a timm model from a file, as timm ships them: with a classifier, for three channels
and one size of image.
"""

import sys
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from timm.models import adapt_input_conv, load_state_dict
from torch import Tensor, nn

from birdcore.models.timm_maps import TimmMap

UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError)
"""What timm raises for files that hold no weights, beside safetensors' own error."""


def load_file(model: nn.Module, name: str, path: Path, in_channels: int) -> None:
    """Load a file's weights into a model of `in_channels` without a classifier.

    Args:
        model: a timm model, or the `TimmMap` of one; changed in place.
        name: the timm model's, for errors.
        path: a .safetensors or .pth file.
        in_channels: the first convolution is adapted to it.

    Raises:
        ValueError: there is no such file, or it does not hold this model's weights.
    """
    if not path.is_file():
        raise ValueError(f"weights = {str(path)!r}: there is no such file")
    try:
        state = load_state_dict(str(path))
    except (*UNREADABLE, SafetensorError) as error:
        raise ValueError(
            f"weights = {str(path)!r} is not a readable .safetensors or .pth file: {error}"
        ) from error
    net = model.net if isinstance(model, TimmMap) else model
    try:
        if isinstance(model, TimmMap):
            state = _fitted(state, net, name)
        net.load_state_dict(_adapted(state, net, in_channels))
    except (*UNREADABLE, TypeError, NotImplementedError, AssertionError) as error:
        raise ValueError(
            f"weights = {str(path)!r} does not hold the weights of {name!r}: {str(error)[:300]}"
        ) from error


def _fitted(state: dict[str, Tensor], net: nn.Module, name: str) -> dict[str, Tensor]:
    """Weights with positions for the net's size, and without the layers that were pruned."""
    resize = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if resize is not None:
        state = resize(state, net)
    ours = net.state_dict().keys()
    if "fc_norm.weight" in state and "norm.weight" in ours - state.keys():
        # Behind timm's pooling over all tokens; here it stands before the one over frequency.
        state = {key.replace("fc_norm.", "norm."): value for key, value in state.items()}
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        pruned = timm.create_model(name).state_dict().keys() - ours
    return {key: value for key, value in state.items() if key not in pruned}


def _adapted(state: dict[str, Tensor], model: nn.Module, in_channels: int) -> dict[str, Tensor]:
    config: dict[str, str | tuple[str, ...]] = getattr(model, "pretrained_cfg", None) or {}
    classifiers = tuple(f"{module}." for module in _names(config.get("classifier")))
    kept = {key: value for key, value in state.items() if not key.startswith(classifiers)}
    for module in _names(config.get("first_conv")):
        key = f"{module}.weight"
        if key in kept and kept[key].shape[1] != in_channels:
            kept[key] = adapt_input_conv(in_channels, kept[key])
    return kept


def _names(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
