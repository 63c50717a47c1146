"""1-D backbones: the bins of a spectrogram as channels of a sequence over time.

A 2-D net moves its kernels along frequency as well; these learn each bin by itself, with a fraction
of the work. They see pitch as it is, and don't know a call that is moved in pitch again. Frames are
strided by 32 as 2-D nets of timm do, so that head, windows, labels and ensembles see no difference.
Both begin with five strided convolutions over time:

    conv_gru        two layers of a GRU, forwards and backwards (Cho et al. 2014; as in Çakır et al.
                    2017, "CRNN", for sound event detection)
    transformer_1d  four pre-norm transformer layers. Positions are a depthwise convolution
                    (wav2vec 2.0, Baevski et al. 2020), so that sequences may have any length

One reads raw samples (front end `wave`) and learns what a spectrogram computes:

    conv_wave       strided convolutions over the waveform, down to a frame each hop (as in wav2vec,
                    Schneider et al. 2019), then `conv_gru` with their channels as its bins
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.functional import gelu

WIDTH = 256
STAGES = 5
"""Each halves the number of frames: 2^5 = 32."""
WAVE_WIDTH, WAVE_KERNEL = 32, 65
"""Of the first convolution over samples: 2 ms at 32 kHz."""


class ConvGru(nn.Module):
    """(B, in_channels, bins, T) to (B, 512, 1, T / 32), rounded up.

    Args:
        in_channels: of the input.
        bins: of the input.
        drop_path: must be 0, as it has no paths to drop.

    Raises:
        ValueError: drop_path is not 0.
    """

    width = 2 * WIDTH

    def __init__(self, in_channels: int, bins: int, drop_path: float) -> None:
        if drop_path:
            raise ValueError("backbone 'conv_gru' has no stochastic depth: set drop_path = 0")
        super().__init__()
        self.convolutions = _convolutions(in_channels * bins)
        self.gru = nn.GRU(WIDTH, WIDTH, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        sequence: Tensor = self.convolutions(x.flatten(1, 2))
        states: Tensor = self.gru(sequence.transpose(1, 2))[0]
        return states.transpose(1, 2)[:, :, None]


class Transformer1d(nn.Module):
    """(B, in_channels, bins, T) to (B, 256, 1, T / 32), rounded up.

    Args:
        in_channels: of the input.
        bins: of the input.
        drop_path: rate of stochastic depth in the last layer, rising from 0 in the first.
    """

    width = WIDTH
    layers = 4

    def __init__(self, in_channels: int, bins: int, drop_path: float) -> None:
        super().__init__()
        self.convolutions = _convolutions(in_channels * bins)
        self.positions = nn.Conv1d(WIDTH, WIDTH, kernel_size=9, padding=4, groups=WIDTH)
        self.blocks = nn.Sequential(
            *(
                Block(
                    WIDTH,
                    num_heads=4,
                    mlp_ratio=2.0,
                    qkv_bias=True,
                    drop_path=drop_path * layer / (self.layers - 1),
                )
                for layer in range(self.layers)
            )
        )
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        sequence: Tensor = self.convolutions(x.flatten(1, 2))
        sequence = sequence + gelu(self.positions(sequence))
        tokens: Tensor = self.norm(self.blocks(sequence.transpose(1, 2)))
        return tokens.transpose(1, 2)[:, :, None]


class ConvWave(nn.Module):
    """Samples (B, 1, hop, T), `hop` a frame, to (B, 512, 1, T / 32), rounded up.

    Args:
        in_channels: of the input, 1.
        bins: of the input: the hop.
        drop_path: must be 0, as it has no paths to drop.

    Raises:
        ValueError: drop_path is not 0.
    """

    width = ConvGru.width

    def __init__(self, in_channels: int, bins: int, drop_path: float) -> None:
        if drop_path:
            raise ValueError("backbone 'conv_wave' has no stochastic depth: set drop_path = 0")
        assert in_channels == 1, "samples are one channel: refused when the recipe is read"
        super().__init__()
        self.filters = _wave_convolutions(bins)
        self.sequence = ConvGru(1, WIDTH, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        samples = x.transpose(2, 3).flatten(2)
        frames: Tensor = self.filters(samples)
        features: Tensor = self.sequence(frames[:, None])
        return features


Sequence: TypeAlias = ConvGru | Transformer1d | ConvWave

SEQUENCE_MODELS: Mapping[str, Callable[[int, int, float], Sequence]] = {
    "conv_gru": ConvGru,
    "transformer_1d": Transformer1d,
    "conv_wave": ConvWave,
}
"""By their names among backbones, none of which timm has."""


def _convolutions(in_channels: int) -> nn.Sequential:
    stages = []
    for stage in range(STAGES):
        wide = in_channels if stage == 0 else WIDTH
        conv = nn.Conv1d(wide, WIDTH, kernel_size=5, stride=2, padding=2, bias=False)
        stages += [conv, nn.BatchNorm1d(WIDTH), nn.SiLU()]
    return nn.Sequential(*stages)


def _wave_convolutions(hop: int) -> nn.Sequential:
    """(B, 1, T * hop) to (B, WIDTH, T): wider at each stride, to half of WIDTH before the last."""
    strides = list(_strides(hop))
    stages: list[nn.Module] = []
    narrow = 1
    for stage, stride in enumerate(strides):
        wide = WIDTH if stage == len(strides) - 1 else min(WAVE_WIDTH * 2**stage, WIDTH // 2)
        # Of an odd kernel half of it is padding, so that T * hop samples give T frames.
        kernel = max(WAVE_KERNEL, 2 * stride + 1) if stage == 0 else 2 * stride + 1
        conv = nn.Conv1d(narrow, wide, kernel, stride, padding=kernel // 2, bias=False)
        stages += [conv, nn.BatchNorm1d(wide), nn.SiLU()]
        narrow = wide
    return nn.Sequential(*stages)


def _strides(hop: int) -> Iterator[int]:
    """Factors whose product is a hop: 8, or what of it divides the hop, then 4s, then primes."""
    first = math.gcd(hop, 8)
    rest = hop // first
    yield first
    factor = 4
    while rest > 1:
        if rest % factor == 0:
            yield factor
            rest //= factor
        else:
            factor = 2 if factor == 4 else 3 if factor == 2 else factor + 2
