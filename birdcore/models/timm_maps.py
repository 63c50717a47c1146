"""Feature maps (B, C, F, T) of timm's nets, whatever layout and input sizes these have.

Most convolutional nets answer any input with such a map and are used as they are. Others give
channels last (SwinV2, MambaOut) or tokens with class and register tokens before them (ViT), have
positions or windows for one size of image (ViT, SwinV2, MaxViT), or drop what is left over of a
size that is no multiple of their stride (ConvNeXt). `fit` finds out how such a net is built for a
size, by building it without memory (torch's meta device), and `TimmMap` reads its map through
timm's `forward_intermediates`, which knows each net's layout.

Inputs of such nets are padded up to a multiple of the stride, with zeros as convolutions pad: a map
has ceil(frames / stride) columns, of which the last one may see padding.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

Size = tuple[int, int]
"""Mel bins and frames."""

REFUSES = (
    AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What timm's nets raise where they can't be built for, or read, a size."""


class Fit(NamedTuple):
    """How a timm net is built so that it gives a map for inputs of one size.

    Attributes:
        width: C of the map.
        stride: inputs are padded to a multiple of it; a map's cell stands for so many bins and
            frames.
        options: arguments of `timm.create_model`.
        fixed: size that inputs have after padding; None where any size will do.
    """

    width: int
    stride: int
    options: Mapping[str, Any]
    fixed: Size | None

    def takes(self, frames: int) -> bool:
        """Whether the net reads inputs of so many frames."""
        return self.fixed is None or -(-frames // self.stride) * self.stride == self.fixed[1]


class TimmMap(nn.Module):
    """A timm net as a `Backbone`: (B, in_channels, n_mels, frames) to (B, C, F, T).

    Args:
        net: built with the options of `fit`.
        fit: of the net.
    """

    def __init__(self, net: nn.Module, fit: Fit) -> None:
        super().__init__()
        self.net = net
        self.fit = fit
        prune_head(net)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError for a size that the net was not built for."""
        x = padded(x, self.fit.stride)
        if self.fit.fixed not in (None, tuple(x.shape[2:])):
            raise ValueError(
                f"this backbone was built for inputs of up to {self.fit.fixed} bins and frames, "
                f"and these have {tuple(x.shape[2:])}"
            )
        return last_map(self.net, x)


def padded(x: Tensor, stride: int) -> Tensor:
    """Zeros behind the last bin and frame, up to a multiple of the stride."""
    below, behind = (-length % stride for length in x.shape[2:])
    return pad(x, (0, behind, 0, below)) if below or behind else x


def last_map(net: nn.Module, x: Tensor) -> Tensor:
    """The net's last map, after its last norm."""
    maps: list[Tensor] = net.forward_intermediates(  # type: ignore[operator]
        x, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
    )
    return maps[-1]


def prune_head(net: nn.Module) -> None:
    """Remove the layers behind the map: they would be weights that nothing trains."""
    net.prune_intermediate_layers(1, prune_norm=False, prune_head=True)  # type: ignore[operator]


@lru_cache(maxsize=64)
def fit(name: str, in_channels: int, size: Size) -> Fit | None:
    """How a timm net gives a map for inputs of a size; None where it does so as it is.

    Args:
        name: a timm model's.
        in_channels: of the input.
        size: mel bins and frames of the input.

    Raises:
        ValueError: the net gives no map for this size; the message is the net's own.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        try:
            net, direct = _as_it_is(name, in_channels, size)
            stride = _stride(net)
        except REFUSES as error:
            raise ValueError(_first_line(error)) from error
        rows, columns = (-(-length // stride) for length in size)
        if direct is not None and direct[2:] == (rows, columns):
            return None
        built = (rows * stride, columns * stride)
        reason = ""
        given: tuple[int, ...] = ()
        tries: tuple[dict[str, Any], ...] = (
            {"img_size": built, "dynamic_img_size": False},  # dynamic: resampled in each pass
            {"img_size": built},
            {},
        )
        for options in tries:
            try:
                net = timm.create_model(name, in_chans=in_channels, num_classes=0, **options)
                given = _map_shape(net.eval(), in_channels, built)
            except REFUSES as error:
                if "unexpected keyword" not in str(error):
                    reason = reason or _first_line(error)
                continue
            if given[2:] == (rows, columns):
                wider = _reads(net, in_channels, (built[0], built[1] + stride))
                return Fit(given[1], stride, MappingProxyType(options), None if wider else built)
        if direct is None:
            raise ValueError(reason or f"an output of {given}")
        return None  # a map that lacks what is left over of the size


def _as_it_is(name: str, in_channels: int, size: Size) -> tuple[nn.Module, tuple[int, ...] | None]:
    """A net, and the shape of its output without pooling if that is a map of bins and frames."""
    try:
        net = timm.create_model(name, in_chans=in_channels, num_classes=0, global_pool="").eval()
    except AssertionError:  # it always pools
        return timm.create_model(name, in_chans=in_channels, num_classes=0).eval(), None
    try:
        shape = tuple(net(torch.zeros(1, in_channels, *size)).shape)
    except REFUSES:
        return net, None
    is_map = len(shape) == 4 and getattr(net, "output_fmt", "NCHW") == "NCHW"
    return net, shape if is_map else None


def _stride(net: nn.Module) -> int:
    stages: Any = net.feature_info
    return max(int(stage["reduction"]) for stage in getattr(stages, "info", stages))


def _map_shape(net: nn.Module, in_channels: int, size: Size) -> tuple[int, ...]:
    return tuple(last_map(net, torch.zeros(1, in_channels, *size)).shape)


def _reads(net: nn.Module, in_channels: int, size: Size) -> bool:
    try:
        _map_shape(net, in_channels, size)
    except REFUSES:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
