"""The network of Silero VAD over many recordings side by side.

The package scores 512 samples at a time, each call waiting for the last one's state. Only its
LSTM needs that order; the spectrum and the convolutions before it see one chunk and the 64
samples before. So `speech_probabilities` takes the weights of the package's model, runs the
convolutions on about a thousand chunks at once, whichever recordings they are from, and steps the
LSTM through all recordings in lockstep.
"""

import importlib
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from birdcore.audio.blocks import Block, Reader

CHUNK = 512
CONTEXT = 64
UNITS = 128
CHUNKS_AT_ONCE = 1024  # what fits a core's cache; twice or half as many are slower
BATCH = 128

Waveform = NDArray[np.float32]


class SileroModel(Protocol):
    """The package's model: a 16 kHz chunk (512,) to the probability (1, 1), keeping its state."""

    _model: torch.nn.Module

    def __call__(self, chunk: Tensor, rate: int) -> Tensor: ...

    def reset_states(self) -> None: ...


def speech_probabilities(
    waveforms: Sequence[Waveform], batch: int = BATCH
) -> list[NDArray[np.float32]]:
    """The probability of speech in every 512 samples (32 ms) of every waveform.

    waveforms: float (n,) each, at 16 kHz, of any lengths. batch: how many run side by side.
    Beside the result, memory grows with neither lengths nor the number of waveforms.

    Returns one float32 (ceil(n / 512),) per waveform, in the order given: what the package's
    model gives chunk by chunk from a fresh state, the last chunk padded with zeros, but for the
    rounding of float32. On field recordings the package's sums for a single chunk are up to 4e-5
    from the same model in float64, these here up to 4e-6.
    """
    longest_first = sorted(range(len(waveforms)), key=lambda i: -len(waveforms[i]))
    probabilities = [np.empty(math.ceil(len(w) / CHUNK), np.float32) for w in waveforms]
    with torch.inference_mode():
        for first in range(0, len(waveforms), batch):
            rows = longest_first[first : first + batch]
            _lockstep([waveforms[i] for i in rows], [probabilities[i] for i in rows])
    return probabilities


def silero_model() -> SileroModel:
    """The package's own model, freshly loaded, torch's number of threads as it was."""
    with _threads_kept(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is", DeprecationWarning)
        return cast(SileroModel, package().load_silero_vad())


def _lockstep(waveforms: list[Waveform], out: list[NDArray[np.float32]]) -> None:
    """Fill `out` with the probabilities of waveforms that are sorted, longest first.

    A block spans as many chunks as keep it near CHUNKS_AT_ONCE and ends where the shortest
    recording still running does, which then drops out: nothing is computed for padding.
    """
    weights = _weights()
    hidden = cell = torch.zeros(1, len(waveforms), UNITS)
    running, start = len(waveforms), 0
    while True:
        while running and len(out[running - 1]) <= start:
            running -= 1
        if not running:
            return
        end = min(start + math.ceil(CHUNKS_AT_ONCE / running), len(out[running - 1]))
        chunks = _chunks(waveforms[:running], start, end)
        features = _features(chunks, weights).view(running, end - start, UNITS)
        state = (hidden[:, :running].contiguous(), cell[:, :running].contiguous())
        steps, hidden, cell = _recur(features, state, weights)
        for row, probability in zip(out, _probability(steps, weights), strict=False):
            row[start:end] = probability.numpy()
        start = end


def probabilities_of_blocks(blocks: Iterable[Block]) -> NDArray[np.float32]:
    """The probabilities of one recording of any length, its state carried from piece to piece."""
    weights, reader = _weights(), Reader(blocks)
    hidden = cell = torch.zeros(1, 1, UNITS)
    context, found = np.zeros(CONTEXT, np.float32), [np.empty(0, np.float32)]
    with torch.inference_mode():
        while len(samples := reader.take(CHUNKS_AT_ONCE * CHUNK)):
            padding = np.zeros(-len(samples) % CHUNK, np.float32)
            piece = torch.from_numpy(np.concatenate([context, samples, padding]))
            features = _features(piece.unfold(0, CONTEXT + CHUNK, CHUNK), weights)
            steps, hidden, cell = _recur(features[None], (hidden, cell), weights)
            found.append(_probability(steps, weights)[0].numpy())
            context = samples[-CONTEXT:]
    return np.concatenate(found)


def _chunks(waveforms: list[Waveform], start: int, end: int) -> Tensor:
    """Chunks start to end of each waveform with their context: (B * (end - start), 64 + 512)."""
    block = np.zeros((len(waveforms), CONTEXT + (end - start) * CHUNK), np.float32)
    first = start * CHUNK - CONTEXT
    for row, waveform in zip(block, waveforms, strict=True):
        part = waveform[max(first, 0) : end * CHUNK]
        row[max(-first, 0) :][: len(part)] = part
    windows = torch.from_numpy(block).unfold(1, CONTEXT + CHUNK, CHUNK)
    return windows.reshape(-1, CONTEXT + CHUNK)


def _features(chunks: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """(N, 576) to (N, 128): magnitudes of four windowed Fourier frames, four convolutions."""
    padded = F.pad(chunks.unsqueeze(1), (0, 64), mode="reflect")
    spectrum = F.conv1d(padded, weights["stft.forward_basis_buffer"], stride=128)
    real, imaginary = spectrum.chunk(2, dim=1)
    x = (real.square() + imaginary.square()).sqrt()
    for layer, stride in enumerate((1, 2, 2, 1)):
        name = f"encoder.{layer}.reparam_conv"
        x = F.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding=1)
        x = F.relu(x)
    return x.squeeze(2)


def _recur(
    features: Tensor, state: tuple[Tensor, Tensor], weights: dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The LSTM over (B, T, 128): its outputs, and hidden and cell state (1, B, 128) each."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    parameters = [weights[f"decoder.rnn.{name}"] for name in names]
    return torch.lstm(
        features,
        state,
        parameters,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=False,
        bidirectional=False,
        batch_first=True,
    )


def _probability(steps: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """(B, T, 128) to (B, T)."""
    weight, bias = weights["decoder.decoder.2.weight"], weights["decoder.decoder.2.bias"]
    return torch.sigmoid(F.linear(F.relu(steps), weight.squeeze(2), bias)).squeeze(2)


@cache
def _weights() -> dict[str, Tensor]:
    """The tensors of the 16 kHz half of the package's model, by their names there."""
    return dict(silero_model()._model.state_dict())


@cache
def package() -> ModuleType:
    with _threads_kept():
        return importlib.import_module("silero_vad")


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Undo what importing silero_vad does: one thread for all of torch in this process."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
