"""Backbones: from a model's input to a feature map that keeps frequency and time apart.

Any convolutional timm model is one. The head needs the last feature map (B, C, F, T), so pooling
and classifier are switched off and a small forward pass measures the width: timm's `num_features`
differs for models with a convolution behind the pooling (mobilenetv3, hgnet). Transformers and
other nets without such a map are built for the size of their input: see timm_maps.py. Models of
our own that read bins as channels of a sequence are in sequence.py, beside timm's by their names.
Weights come from a file, from timm's hub or from the random generator, and each error names the
setting to change.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import timm
import torch
from huggingface_hub import constants, get_session
from torch import Tensor, nn

from birdcore.config.backbone_names import refuse_source
from birdcore.models.backbone_weights import load_file
from birdcore.models.sequence import SEQUENCE_MODELS
from birdcore.models.timm_maps import Fit, Size, TimmMap, fit

PROBE = (64, 96)
"""Mel bins and frames of the pass that measures the width; unequal, to tell the axes apart."""

HUB_TIMEOUT_S = 5.0


class Backbone(Protocol):
    """Maps (B, in_channels, n_mels, frames) to features (B, C, F, T); an `nn.Module`."""

    def __call__(self, x: Tensor) -> Tensor: ...


def build_backbone(
    name: str,
    pretrained: bool = False,
    weights: Path | None = None,
    in_channels: int = 1,
    drop_path: float = 0.0,
    size: Size | None = None,
    bins: int = PROBE[0],
) -> tuple[nn.Module, int]:
    """A timm model, or one of `SEQUENCE_MODELS`, as a `Backbone`.

    Args:
        name: of the model.
        pretrained: take timm's weights from the hub or its cache.
        weights: a .safetensors or .pth file of the same timm model; goes before `pretrained`.
        in_channels: the first convolution of pretrained weights is adapted to it.
        drop_path: rate of stochastic depth.
        size: mel bins and frames of inputs, for models that are built for a size; None for those
            that read any size as they are (see `built_frames`).
        bins: of inputs, for models that read them as channels.

    Returns:
        The model and C, the channels of its features.

    Raises:
        ValueError: the name is unknown, the model gives no feature map or has no stochastic depth,
            or weights are missing or belong to another model.
    """
    if name in SEQUENCE_MODELS:
        return _sequence(name, pretrained, weights, in_channels, drop_path, bins)
    _check_name(name)
    from_hub = pretrained and weights is None
    fitted = None if size is None else _fit(name, in_channels, size)
    options = {"global_pool": ""} if fitted is None else fitted.options
    try:
        model = _create(name, from_hub, in_channels, drop_path, options)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise ValueError(
            f"backbone {name!r} has no stochastic depth: set drop_path = 0 or choose another"
        ) from error
    except AssertionError as error:
        raise _no_map(name, str(error)) from error
    width = _measure_width(model, name, in_channels) if fitted is None else fitted.width
    adapted = model if fitted is None else TimmMap(model, fitted)
    if weights is not None:
        load_file(adapted, name, weights, in_channels)
    return adapted, width


def built_frames(name: str, in_channels: int, size: Size, window: int | None = None) -> int | None:
    """The frames that a model's spec has to name; None for backbones that read any size as it is.

    Args:
        name: of a timm model.
        in_channels: of the input.
        size: mel bins and frames of the crops that it is trained on.
        window: frames of the windows that it is going to read; those of a crop, if not given.

    Raises:
        ValueError: as `build_backbone`; or it reads inputs of one length only, and windows have
            another.
    """
    if name in SEQUENCE_MODELS:
        return None
    _check_name(name)
    fitted = _fit(name, in_channels, size)
    if fitted is None:
        return None
    if window is not None and not fitted.takes(window):
        raise ValueError(
            f"backbone {name!r} is built for one length of input: windows of {window} frames "
            f"(window_s) don't go with crops of {size[1]} (crop_s). Leave window_s out, or choose "
            "a convolutional backbone"
        )
    return size[1]


def _sequence(
    name: str,
    pretrained: bool,
    weights: Path | None,
    in_channels: int,
    drop_path: float,
    bins: int,
) -> tuple[nn.Module, int]:
    if pretrained and weights is None:
        raise ValueError(
            f"pretrained = true: there are no published weights of backbone {name!r}. Set "
            'pretrained = false, or weights = "FILE" with those of an earlier model'
        )
    model = SEQUENCE_MODELS[name](in_channels, bins, drop_path)
    if weights is not None:
        load_file(model, name, weights, in_channels)
    return model, model.width


def _fit(name: str, in_channels: int, size: Size) -> Fit | None:
    try:
        return fit(name, in_channels, size)
    except ValueError as error:
        raise _no_map(name, str(error), f"of {size[0]} mel bins and {size[1]} frames") from error


def backbone_names() -> list[str]:
    """All names of backbones, without tags of weights; not all of them give a map."""
    return [*SEQUENCE_MODELS, *timm.list_models()]


def nearest_backbones(name: str) -> list[str]:
    """The names that are most like another one, three at most."""
    known = timm.list_pretrained() if "." in name else backbone_names()
    return get_close_matches(name, known, n=3, cutoff=0.5)


def _check_name(name: str) -> None:
    if timm.is_model(name) and ("." not in name or name in timm.list_pretrained()):
        return
    refuse_source(name)
    near = nearest_backbones(name)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    raise ValueError(f"there is no backbone {name!r}{hint} (search: birdflow backbones PATTERN)")


def _create(
    name: str, from_hub: bool, in_channels: int, drop_path: float, options: Mapping[str, Any]
) -> nn.Module:
    def create() -> nn.Module:
        return timm.create_model(
            name,
            pretrained=from_hub,
            in_chans=in_channels,
            num_classes=0,
            drop_path_rate=drop_path or None,
            **options,
        )

    if not from_hub:
        return create()
    try:
        with _offline_when_unreachable():
            return create()
    except (TypeError, AssertionError):
        raise
    except Exception as error:  # the HTTP library beneath the hub's client is not always the same
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"pretrained = true needs timm's weights of {name!r}, and they could not be had: "
            f'{reason} Set weights = "FILE" (a .safetensors or .pth file of that model), '
            "or pretrained = false to start from random weights"
        ) from error


@contextmanager
def _offline_when_unreachable() -> Iterator[None]:
    """Look only into the hub's cache when the hub does not answer.

    The hub's client retries an unreachable host for most of a minute; one request tells.
    """
    before = constants.HF_HUB_OFFLINE
    if not before:
        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
        except Exception:  # of whatever HTTP library the hub's client uses
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _measure_width(model: nn.Module, name: str, in_channels: int) -> int:
    model.eval()
    try:
        with torch.no_grad():
            features: Tensor = model(torch.zeros(1, in_channels, *PROBE))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _no_map(name, str(error)) from error
    model.train()
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    if features.ndim != 4 or channels_last or not features.shape[2] < features.shape[3]:
        raise _no_map(name, f"inputs of {PROBE} give an output of {tuple(features.shape)}")
    return features.shape[1]


def _no_map(name: str, reason: str, inputs: str = "of any size") -> ValueError:
    return ValueError(
        f"backbone {name!r} gives no feature map (B, C, F, T) for inputs {inputs} ({reason}): "
        "choose another, such as tf_efficientnet_b0, eca_nfnet_l0 or regnety_008"
    )
