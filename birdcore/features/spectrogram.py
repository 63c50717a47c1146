"""Mel energies of a recording, several times faster than torchaudio and equal to it.

They are filters over `spectra`, which other front ends read too. Equal to
`torchaudio.transforms.MelSpectrogram(normalized=True)`, transposed: a centred Hann window, divided
by its L2 norm, and reflect padding. Faster for three reasons: frames go through all steps in blocks
that stay in the processor's cache, the normalisation is folded into the window, and the filter
bank, of which 2 % or less is not zero, is applied in bands of filters that touch only their own
bins.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torchaudio.functional import linear_fbanks, melscale_fbanks

from birdcore.audio.blocks import Reader
from birdcore.features.mel import MelSpec
from birdcore.features.scale import Power
from birdcore.features.stft import StftSpec

Floats = npt.NDArray[np.float32]

BLOCK_SAMPLES = 2**18
"""Windowed samples a block: 1 MiB of float32, 128 frames of 2048."""
BAND_FILTERS = 16
"""Filters a band: wider ones multiply more zeros, narrower ones make slow small products."""


@dataclass(frozen=True)
class Band:
    """Neighbouring filters and the bins that they touch: weights (bins, filters)."""

    bins: slice
    filters: slice
    weights: Floats


def mel_energy(samples: Floats, spec: MelSpec) -> Floats:
    """Mel energies (frames, n_mels), float32, of mono `samples` (n,): see `mel_blocks`.

    Raises ValueError when `samples` is empty or has more than one channel.
    """
    return np.concatenate(list(mel_blocks([samples], spec)))


def mel_blocks(blocks: Iterable[Floats], spec: MelSpec) -> Iterator[Floats]:
    """Mel energies (t, n_mels), float32, of mono samples at `spec.sample_rate` in blocks (n,).

    Power when `spec.power` is 2, magnitude when it is 1. Frames go on over the blocks of samples;
    the signal is mirrored at its ends, and one that is shorter than half a window is mirrored
    again and again (as `numpy.pad` does, where torch refuses), so one sample is enough. In all
    there come spec.frames(samples), in blocks of as many as stay in the processor's cache.

    Raises ValueError when there is no sample, or more than one channel.
    """
    return filtered(spectra(blocks, spec.n_fft, spec.hop_length, spec.power), _mel_bands(spec))


def spectra(
    blocks: Iterable[Floats], n_fft: int, hop_length: int, power: Power
) -> Iterator[Floats]:
    """Spectra (t, n_fft // 2 + 1), float32, of mono samples in blocks (n,).

    Power or magnitude of the frames of `centred_frames` under `hann_window`. All have one buffer:
    each is to be used before the next is asked for.
    """
    window, most = hann_window(n_fft), frames_in_block(n_fft)
    windowed = np.empty((most, n_fft), np.float32)
    spectrum = np.empty((most, n_fft // 2 + 1), np.complex64)
    bins = np.empty(spectrum.shape, np.float32)
    for frames in centred_frames(blocks, n_fft, hop_length):
        w, s, b = windowed[: len(frames)], spectrum[: len(frames)], bins[: len(frames)]
        np.multiply(frames, window, out=w)
        # MKL's transform, 1.4 times as fast as SciPy's.
        torch.fft.rfft(torch.from_numpy(w), out=torch.from_numpy(s))
        np.abs(s, out=b)
        if power == 2:
            np.square(b, out=b)
        yield b


def filtered(spectra: Iterable[Floats], bands: Sequence[Band]) -> Iterator[Floats]:
    """Energies (t, F), float32, of spectra (t, n_fft // 2 + 1) under a bank of F filters."""
    for spectrum in spectra:
        energy = np.empty((len(spectrum), bands[-1].filters.stop), np.float32)
        for band in bands:
            np.matmul(spectrum[:, band.bins], band.weights, out=energy[:, band.filters])
        yield energy


def frames_in_block(n_fft: int) -> int:
    """How many frames `centred_frames` gives at once, at most."""
    return max(1, BLOCK_SAMPLES // n_fft)


def centred_frames(
    blocks: Iterable[Floats],
    n_fft: int,
    hop_length: int,
    *,
    before: int | None = None,
    most: int | None = None,
) -> Iterator[Floats]:
    """Frames (t, n_fft) of mono samples in blocks (n,), not windowed: of n samples, 1 + n // hop.

    The signal is mirrored at its ends.

    Args:
        blocks: The samples.
        n_fft: Samples of a frame.
        hop_length: From one frame to the next.
        before: How many of frame t lie before sample t * hop_length; half, if not said.
        most: The largest t; `frames_in_block`, if not said.

    Raises:
        ValueError: There is no sample, or more than one channel.
    """
    step = frames_in_block(n_fft) if most is None else most
    before = n_fft // 2 if before is None else before
    reader, near = Reader(blocks), np.empty(0, np.float32)
    for first in count(0, step):
        start = first * hop_length - before
        stop = start + (step - 1) * hop_length + n_fft
        # Behind the frames stays what mirroring at the end may reach.
        near = near[max(0, start - n_fft - (reader.position - len(near))) :]
        more = reader.take(stop + 1 - reader.position)
        if more.ndim != 1 or not reader.position:
            raise ValueError(
                f"samples have shape {more.shape}: one channel with a sample or more is needed"
            )
        near = np.concatenate([near, more])
        if reader.position <= stop:
            break
        yield _frames(near, reader.position, start, step, n_fft, hop_length)
    total = 1 + reader.position // hop_length
    for at in range(first, total, step):
        start, rest = at * hop_length - before, min(step, total - at)
        yield _frames(near, reader.position, start, rest, n_fft, hop_length)


@lru_cache(maxsize=16)
def filter_bank(spec: MelSpec) -> Floats:
    """The triangular filters (n_fft // 2 + 1, n_mels), float32, read-only, from torchaudio."""
    bank: Floats = melscale_fbanks(
        n_freqs=spec.n_fft // 2 + 1,
        f_min=spec.f_min,
        f_max=spec.f_max,
        n_mels=spec.n_mels,
        sample_rate=spec.sample_rate,
        norm=spec.norm,
        mel_scale=spec.mel_scale,
    ).numpy()
    bank.flags.writeable = False
    return bank


@lru_cache(maxsize=16)
def _mel_bands(spec: MelSpec) -> tuple[Band, ...]:
    return _bands(filter_bank(spec))


@lru_cache(maxsize=16)
def linear_bank(spec: StftSpec) -> Floats:
    """The filters of a linear front end (n_fft // 2 + 1, bins), float32, read-only.

    `n_mels` triangular ones from torchaudio, or one for each FFT bin in the band, which selects it.
    """
    if spec.n_mels is None:
        bank: Floats = np.eye(spec.n_fft // 2 + 1, dtype=np.float32)[:, spec.fft_bins]
    else:
        bank = linear_fbanks(
            n_freqs=spec.n_fft // 2 + 1,
            f_min=spec.f_min,
            f_max=spec.f_max,
            n_filter=spec.n_mels,
            sample_rate=spec.sample_rate,
        ).numpy()
    bank.flags.writeable = False
    return bank


@lru_cache(maxsize=16)
def linear_bands(spec: StftSpec) -> tuple[Band, ...]:
    """The filters of a linear front end for `filtered`."""
    return _bands(linear_bank(spec))


def _bands(bank: Floats) -> tuple[Band, ...]:
    bands = []
    for first in range(0, bank.shape[1], BAND_FILTERS):
        filters = slice(first, min(first + BAND_FILTERS, bank.shape[1]))
        touched = np.flatnonzero(bank[:, filters].any(axis=1))
        bins = slice(int(touched[0]), int(touched[-1]) + 1)
        bands.append(Band(bins, filters, np.ascontiguousarray(bank[bins, filters])))
    return tuple(bands)


@lru_cache(maxsize=16)
def hann_window(n_fft: int) -> Floats:
    """A periodic Hann window (n_fft,) with an L2 norm of 1."""
    window = torch.hann_window(n_fft, dtype=torch.float64).numpy()
    normalised: Floats = (window / np.linalg.norm(window)).astype(np.float32)
    return normalised


def _frames(near: Floats, end: int, start: int, frames: int, n_fft: int, hop_length: int) -> Floats:
    """Frames of the mirrored signal from a sample on, (frames, n_fft), before windowing.

    near: the last samples of the `end` that there are; the signal is mirrored at both its ends.
    """
    stop = start + (frames - 1) * hop_length + n_fft
    begin = end - len(near)
    if start >= 0 and stop <= end:
        piece = near[start - begin : stop - begin]
    else:
        period = max(1, 2 * (end - 1))
        index = np.arange(start, stop) % period
        piece = near[np.minimum(index, period - index) - begin if end > 1 else 0 * index]
    return sliding_window_view(piece, n_fft)[::hop_length]
