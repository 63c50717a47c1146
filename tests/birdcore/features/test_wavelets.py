"""Morlet wavelets: against PyWavelets and sums in time, tones, chirps, clicks, blocks."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.features import wavelets
from birdcore.features.cwt import CwtSpec
from birdcore.features.superlet import SuperletSpec
from birdcore.features.wavelets import TONE_POWER, Floats, wavelet_bank, wavelet_blocks

SMALL = CwtSpec(sample_rate=8_000, hop_length=160, f_min=200, f_max=3_500, scales=24, cycles=8)
ODD = CwtSpec(sample_rate=4_410, hop_length=63, f_min=90, f_max=2_200, scales=11, cycles=12)
SUPERLETS = SuperletSpec(**SMALL.model_dump(), order=2.5)
SPECS = {"small": SMALL, "odd hop": ODD, "superlets": SUPERLETS}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def power(samples: Floats, spec: CwtSpec) -> Floats:
    return np.concatenate(list(wavelet_blocks([samples.astype(np.float32)], spec)))


def noise(length: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)


def values_of(spec: CwtSpec) -> list[int]:
    """Values a frame of each scale."""
    bank = wavelet_bank(spec, torch.device("cpu"))
    batches = [batch for tier in bank.tiers for batch in tier.batches]
    return [batch.values for batch in batches for _ in range(bank.scales)[batch.scales]]


def test_magnitudes_are_those_of_pywavelets() -> None:
    spec = CwtSpec(sample_rate=4_000, hop_length=720, f_min=200, f_max=1_200, scales=8, cycles=12)
    samples, centre, reach, precision = noise(14_400).astype(np.float64), 4.0, 5, 20
    wavelet = pywt.ContinuousWavelet(f"cmor{2 * (12 / (2 * math.pi * centre)) ** 2:.12f}-{centre}")
    wavelet.lower_bound, wavelet.upper_bound = -reach, reach
    widths = centre * 4_000 / spec.centres().astype(np.float64)
    theirs, _ = pywt.cwt(samples, widths, wavelet, 1 / 4_000, "fft", precision=precision)
    frames, compared = np.arange(4, 16), 0
    for scale, (width, values) in enumerate(zip(widths, values_of(spec), strict=True)):
        if 360 % values:  # these lie between two samples
            continue
        compared += 1
        # Its integrals are over a sample each, and centred up to half a sample off.
        length = math.floor(2 * reach * width) + 1
        late = math.floor((length - 2) / 2) + 0.5 - (length - 1 - reach * width)
        ours = np.sqrt(power(_integrated(samples, late), spec)[frames, scale])
        at = frames[:, None] * 720 - 360 + (2 * np.arange(values) + 1) * 360 // values
        means = np.sqrt(np.mean(np.abs(theirs[scale][at]) ** 2, axis=1))
        means *= 2 * math.sqrt(TONE_POWER / width)
        assert np.abs(ours - means).max() < 1e-4 * means.max()
    assert compared >= 2


def _integrated(samples: np.ndarray, late: float) -> Floats:
    hz = np.fft.rfftfreq(len(samples))
    turned = np.fft.rfft(samples) * np.sinc(hz) * np.exp(2j * np.pi * hz * late)
    return np.fft.irfft(turned, len(samples)).astype(np.float32)


@pytest.mark.parametrize(
    "spec",
    [*SPECS.values(), SuperletSpec(**ODD.model_dump(), order=4.0)],
    ids=[*SPECS, "order 4"],
)
def test_powers_are_those_of_loops_over_time(spec: CwtSpec) -> None:
    samples, frame = noise(8_000), 40
    ours = power(samples, spec)[frame]
    for scale, (hz, values) in enumerate(zip(spec.centres(), values_of(spec), strict=True)):
        if hz * (1 + wavelets.REACH / spec.cycles) > spec.sample_rate / 2:
            continue  # cut
        powers = [
            _superlet(samples, (frame - 0.5 + (value + 0.5) / values) * spec.hop_length, hz, spec)
            for value in range(values)
        ]
        assert ours[scale] == pytest.approx(np.mean(powers), rel=1e-3)


def _superlet(samples: Floats, at: float, hz: float, spec: CwtSpec) -> float:
    """The geometric mean over orders of the power of wavelets that are centred on `at`."""
    order, product = getattr(spec, "order", 1.0), 1.0
    t = (np.arange(len(samples)) - at) / spec.sample_rate
    for each in range(1, math.ceil(order) + 1):
        deviation = each * spec.cycles / (2 * math.pi * hz)
        wave = np.exp(-0.5 * (t / deviation) ** 2 - 2j * math.pi * hz * t)
        wave /= math.sqrt(2 * math.pi) * deviation * spec.sample_rate
        magnitude = abs(2 * np.sum(samples * wave)) * math.sqrt(TONE_POWER)
        product *= magnitude ** min(1.0, order - each + 1)
    return product ** (2 / order)


@pytest.mark.parametrize(
    "spec",
    [*SPECS.values(), CwtSpec(), SuperletSpec()],
    ids=[*SPECS, "default", "default superlets"],
)
def test_a_tone_has_its_power_at_its_scale(spec: CwtSpec) -> None:
    for scale in (2, spec.scales // 2):
        phases = 2 * np.pi * float(spec.centres()[scale]) / spec.sample_rate
        tone = 0.5 * np.sin(phases * np.arange(spec.sample_rate * 2))
        frames = power(tone, spec)
        middle = frames[len(frames) // 2]
        assert middle.argmax() == scale
        assert middle[scale] == pytest.approx(TONE_POWER / 4, rel=1e-3)


def test_noise_has_power_by_the_bandwidth() -> None:
    samples = noise(800_000, seed=3)
    density = 2 * np.mean(samples**2) / SMALL.sample_rate  # of amplitude^2 / 2 a Hz
    widths = SMALL.bandwidths()
    assert widths is not None
    expected = 2 * density * widths * TONE_POWER
    np.testing.assert_allclose(power(samples, SMALL).mean(axis=0)[:-4], expected[:-4], rtol=0.05)


def test_the_ridge_follows_a_chirp() -> None:
    spec, seconds = CwtSpec(scales=256, f_min=400, f_max=12_000, cycles=12), 2.0
    t = np.arange(int(seconds * spec.sample_rate)) / spec.sample_rate
    rate = math.log(10_000 / 500) / seconds
    chirp = np.sin(2 * np.pi * 500 * (np.exp(rate * t) - 1) / rate)
    frames = power(chirp, spec)
    times = np.arange(len(frames)) / spec.frame_rate
    inside = (times > 0.1) & (times < seconds - 0.1)
    ridge = spec.centres()[frames[inside].argmax(axis=1)]
    np.testing.assert_allclose(ridge, 500 * np.exp(rate * times[inside]), rtol=0.02)


@given(at=st.integers(0, 2_000), spec=st.sampled_from([*SPECS.values()]))
@settings(max_examples=15, deadline=None)
def test_a_click_at_any_time_keeps_its_energy(at: int, spec: CwtSpec) -> None:
    def energy(sample: int) -> Floats:
        click = np.zeros(9_000, np.float32)
        click[sample] = 1.0
        return power(click, spec).sum(axis=0)

    np.testing.assert_allclose(energy(3_500 + at), energy(4_500), rtol=2e-3)


@given(
    length=st.integers(1, 30_000),
    cuts=st.lists(st.integers(0, 30_000), max_size=12),
    spec=st.sampled_from([*SPECS.values()]),
)
@settings(max_examples=15, deadline=None)
def test_frames_do_not_depend_on_the_blocks(length: int, cuts: list[int], spec: CwtSpec) -> None:
    samples = noise(length)
    blocks = np.split(samples, sorted(cut for cut in cuts if cut < length))
    frames = np.concatenate(list(wavelet_blocks(blocks, spec)))
    assert frames.shape == (spec.frames(length), spec.scales)
    np.testing.assert_array_equal(frames, power(samples, spec))


@every_spec
def test_nothing_is_heard_of_where_transforms_end(
    spec: CwtSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise(50_000)
    expected = power(samples, spec)
    monkeypatch.setattr(wavelets, "BLOCK_SAMPLES", 3_000)
    wavelet_bank.cache_clear()
    found = power(samples, spec)
    wavelet_bank.cache_clear()
    off = np.abs(np.sqrt(found) - np.sqrt(expected)).max(axis=0) / np.sqrt(expected.max(axis=0))
    # Wavelets that are cut at half the sample rate ring on.
    whole = spec.centres() * (1 + 3 / spec.cycles) < spec.sample_rate / 2
    assert off[whole].max() < 1e-4
    assert off.max() < 0.1


def test_memory_does_not_grow_with_length() -> None:
    read = done = 0

    def blocks() -> Iterator[Floats]:
        nonlocal read
        for seed in range(200):
            read += 8_000
            yield noise(8_000, seed)

    for frames in wavelet_blocks(blocks(), SMALL):
        done += len(frames)
        assert read - done * SMALL.hop_length < 5 * 2**16
    assert done == SMALL.frames(read)


@pytest.mark.parametrize("length", [1, 2, 100])
def test_short_recordings_are_mirrored_again_and_again(length: int) -> None:
    samples = noise(length, seed=1)
    mirrored = np.pad(samples, (8_000, 8_000), mode="reflect")
    np.testing.assert_allclose(
        power(samples, SMALL)[0], power(mirrored, SMALL)[8_000 // 160], rtol=1e-3, atol=1e-3
    )


def test_silence_is_zero() -> None:
    assert not power(np.zeros(5_000, np.float32), SMALL).any()
    assert not power(np.zeros(5_000, np.float32), SUPERLETS).any()


@pytest.mark.parametrize("shape", [(0,), (2, 8_000)])
def test_no_samples_and_two_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one channel with a sample or more"):
        power(np.zeros(shape, np.float32), SMALL)


def test_blocks_go_to_a_device_in_batches() -> None:
    samples = noise(200_000)
    for spec in SPECS.values():
        batches = wavelet_blocks([samples], spec, device="cpu", batch=64)
        np.testing.assert_allclose(
            np.concatenate(list(batches)), power(samples, spec), rtol=1e-4, atol=1e-6
        )
