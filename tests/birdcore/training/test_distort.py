from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from birdcore.features.mel import MelSpec, mel_edges
from birdcore.training import distort

CENTRES = torch.logspace(2, 4, 16)
Distortion = Callable[..., Tensor]

FILTERS: dict[str, Distortion] = {
    "filter": lambda x, rng, **how: distort.random_filter(x, 6.0, rng, **how),
    "band": lambda x, rng, **how: distort.band_pass(x, 20.0, 0.5, rng, **how),
}
FLIP: dict[str, Distortion] = {"flip": distort.frequency_flip}
MOVES: dict[str, Distortion] = {
    "shift": lambda x, rng, **how: distort.time_shift(x, 9, rng, **how),
    "reverse": distort.time_reverse,
    "padding": lambda x, rng, **how: distort.random_padding(x, 0.3, rng, **how),
}
NOISE: dict[str, Distortion] = {
    "noise": lambda x, rng, **how: distort.coloured_noise(
        x, CENTRES, (0.0, 2.0), (-5.0, 20.0), rng, **how
    ),
}
every = pytest.mark.parametrize(
    "apply", [*FILTERS.values(), *FLIP.values(), *MOVES.values(), *NOISE.values()]
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def power() -> Tensor:
    """Eight sounds of 16 bins and 20 frames, one of them silent."""
    power = torch.rand(8, 16, 20, generator=seeded(1)) + 0.1
    power[3] = 0.0
    return power


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_power_stays_power_and_repeats_with_the_seed(
    apply: Distortion, power: Tensor, dtype: torch.dtype
) -> None:
    power = power.to(dtype)
    before = power.clone()
    got = apply(power, seeded(), probability=0.7)
    assert (got.shape, got.dtype) == (power.shape, dtype)
    assert got.isfinite().all()
    assert (got >= 0).all()
    assert (got[3] == 0).all()
    assert torch.equal(power, before)
    assert torch.equal(got, apply(power, seeded(), probability=0.7))
    assert not torch.equal(got, apply(power, seeded(1), probability=0.7))


@every
def test_no_sample_sees_another(apply: Distortion, power: Tensor) -> None:
    others = power.flip(1) * 1000
    others[5] = power[5]
    for seed in range(5):
        assert torch.equal(apply(others, seeded(seed))[5], apply(power, seeded(seed))[5])


@every
def test_a_share_of_the_samples_changes(apply: Distortion) -> None:
    power = torch.rand(2000, 16, 20, generator=seeded(1)) + 0.1
    assert torch.equal(apply(power, seeded(), probability=0.0), power)
    always = (apply(power, seeded(), probability=1.0) != power).flatten(1).any(dim=1)
    some = (apply(power, seeded(), probability=0.3) != power).flatten(1).any(dim=1)
    assert always.float().mean().item() > 0.85
    assert (some.sum() / always.sum()).item() == pytest.approx(0.3, abs=0.05)


@every
def test_sounds_may_be_elsewhere_than_the_draws(apply: Distortion, power: Tensor) -> None:
    got = apply(power.to("meta"), seeded())
    assert (got.device.type, got.shape) == ("meta", power.shape)


@pytest.mark.parametrize("apply", FILTERS.values())
def test_filters_change_the_floor_like_any_frame(apply: Distortion) -> None:
    power = torch.ones(8, 16, 20)
    got = apply(power, seeded())
    assert torch.equal(got, got[:, :, :1].expand_as(got))
    assert (got[:, :, -1] != 1).any()


@pytest.mark.parametrize("apply", MOVES.values())
@pytest.mark.parametrize("floor_frames", [1, 2])
def test_moves_leave_the_floor(apply: Distortion, power: Tensor, floor_frames: int) -> None:
    with_floor = torch.cat([power, torch.full((8, 16, floor_frames), 9.0)], dim=2)
    got = apply(with_floor, seeded(), floor_frames=floor_frames)
    assert torch.equal(got[..., 20:], with_floor[..., 20:])
    assert torch.equal(got[..., :20], apply(power, seeded()))


@given(
    seed=st.integers(0, 500),
    bins=st.integers(4, 40),
    points=st.integers(2, 4),
    limit=st.floats(1, 9),
)
def test_a_filter_is_numpys_interpolation(seed: int, bins: int, points: int, limit: float) -> None:
    """From the same stream of draws, between points that are never closer than there is room."""
    got = distort.random_filter(torch.ones(3, bins, 2), limit, seeded(seed), points=points)
    rng = seeded(seed)
    apart = min(6.0, (bins - 1) / (points - 1))
    room = bins - 1 - apart * (points - 1)
    inner = np.sort(torch.rand(3, points - 2, generator=rng).numpy() * room)
    gains_db = (torch.rand(3, points, generator=rng).numpy() * 2 - 1) * limit
    for i in range(3):
        knots = np.array([0.0, *inner[i], room]) + apart * np.arange(points)
        curve_db = np.interp(np.arange(bins), knots, gains_db[i])
        np.testing.assert_allclose(10 * got[i, :, 0].log10().numpy(), curve_db, atol=1e-3)


@pytest.mark.parametrize("points", [1, 17])
def test_filters_of_no_shape_are_refused(power: Tensor, points: int) -> None:
    with pytest.raises(ValueError, match="2 to 16"):
        distort.random_filter(power, 6.0, seeded(), points=points)


def stretches(kept: Tensor) -> set[tuple[int, int]]:
    """(first, length) of the one stretch of each row (B, N)."""
    found = set()
    for row in kept.tolist():
        first, length = row.index(True), sum(row)
        assert row == [first <= i < first + length for i in range(len(row))]
        found.add((first, length))
    return found


@pytest.mark.parametrize(("share", "fewest"), [(0.3, 3), (0.51, 6), (0.0, 1), (1.0, 10)])
def test_all_stretches_of_a_minimum_length_are_drawn(share: float, fewest: int) -> None:
    expected = {(i, n) for n in range(fewest, 11) for i in range(11 - n)}
    passed = distort.band_pass(torch.ones(3000, 10, 2), 20.0, share, seeded())
    assert stretches(passed[:, :, 0] == 1) == expected
    softer = passed[passed != 1]
    torch.testing.assert_close(softer, torch.full_like(softer, 0.01))
    padded = distort.random_padding(torch.ones(3000, 2, 10), share, seeded())
    assert stretches(padded[:, 0] == 1) == expected
    assert ((padded == 0) | (padded == 1)).all()


def test_padding_may_be_the_noise_of_the_floor() -> None:
    floor = torch.linspace(0.5, 2.0, 8).repeat(200, 1)
    power = torch.full((200, 8, 51), 1000.0)
    power[..., -1] = floor
    got = distort.random_padding(power, 0.2, seeded(), fill="floor", floor_frames=1)
    assert torch.equal(got[..., -1], floor)
    noise = (got[..., :-1] != 1000).all(dim=1)
    assert stretches(~noise)
    cells = (got[..., :-1] / floor[:, :, None]).transpose(1, 2)[noise].flatten().double().numpy()
    assert stats.kstest(cells, stats.gamma(2, scale=0.5).cdf).pvalue > 0.01
    with pytest.raises(ValueError, match="floor_frames"):
        distort.random_padding(power, 0.2, seeded(), fill="floor")


@pytest.mark.parametrize("max_frames", [3, 25])
def test_a_shift_is_numpys_roll(max_frames: int) -> None:
    power = torch.rand(400, 3, 20, generator=seeded())
    got = distort.time_shift(power, max_frames, seeded()).numpy()
    seen = set()
    for before, after in zip(power.numpy(), got, strict=True):
        shifts = [s for s in range(-10, 10) if (np.roll(before, s, axis=1) == after).all()]
        assert len(shifts) == 1
        seen.update(shifts)
    assert seen == set(range(-min(max_frames, 10), min(max_frames + 1, 10)))


def test_reversed_is_numpys_flip(power: Tensor) -> None:
    got = distort.time_reverse(power, seeded(), probability=1.0)
    np.testing.assert_array_equal(got.numpy(), np.flip(power.numpy(), axis=2))


@pytest.mark.parametrize("channels", [1, 2])
def test_turned_upside_down_is_numpys_flip_of_each_channel(power: Tensor, channels: int) -> None:
    got = distort.frequency_flip(power, seeded(), probability=1.0, channels=channels)
    for part, before in zip(got.chunk(channels, 1), power.chunk(channels, 1), strict=True):
        np.testing.assert_array_equal(part.numpy(), np.flip(before.numpy(), axis=1))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_by_a_slow_loop(exponent: float) -> None:
    """Its level and slope, and that its cells are distributed as Gaussian noise's."""
    power = torch.rand(3, 16, 4001, generator=seeded()) * torch.tensor([1, 10, 100])[:, None, None]
    power[..., -1] = 0.0
    got = distort.coloured_noise(
        power, CENTRES, (exponent, exponent), (3.0, 3.0), seeded(), floor_frames=1
    )
    added = (got - power).double().numpy()
    for sound, noise in zip(power.double().numpy()[..., :-1], added, strict=True):
        means = [f**-exponent for f in CENTRES.tolist()]
        level = sound.mean() / 10**0.3 / np.mean(means)
        means = [level * mean for mean in means]
        np.testing.assert_allclose(noise[:, -1], means, rtol=1e-4)
        for cells, mean in zip(noise[:, :-1], means, strict=True):
            assert cells.mean() == pytest.approx(mean, rel=0.06)
    cells = (added[0, :4, :-1] / added[0, :4, -1:]).flatten()
    assert stats.kstest(cells, stats.gamma(2, scale=0.5).cdf).pvalue > 0.01


def test_exponents_and_ratios_cover_their_ranges() -> None:
    power = torch.ones(1000, 16, 2)
    got = distort.coloured_noise(
        power, CENTRES, (0.5, 2.0), (-5.0, 10.0), seeded(), floor_frames=1
    )[..., -1].double()
    noise = got.numpy() - 1
    slopes = -np.polyfit(CENTRES.double().log().numpy(), np.log(noise).T, 1)[0]
    snrs_db = -10 * np.log10(noise.mean(axis=1))
    assert stats.kstest(slopes, stats.uniform(0.5, 1.5).cdf).pvalue > 0.01
    assert stats.kstest(snrs_db, stats.uniform(-5, 15).cdf).pvalue > 0.01


@pytest.mark.parametrize("norm", [None, "slaney"])
def test_noise_looks_as_torchaudio_sees_it(norm: str | None) -> None:
    """Pink noise made as a wave has the mel spectrum of ours, if filters' widths are told."""
    spec = MelSpec()
    samples = 4 * spec.sample_rate
    shaped = np.fft.rfft(np.random.default_rng(0).standard_normal(samples))
    shaped[0], shaped[1:] = 0.0, shaped[1:] / np.sqrt(np.arange(1, len(shaped)))
    wave = torch.from_numpy(np.fft.irfft(shaped)).float()
    mel = torchaudio.transforms.MelSpectrogram(
        spec.sample_rate, spec.n_fft, hop_length=spec.hop_length, n_mels=spec.n_mels, norm=norm
    )(wave)
    edges = torch.from_numpy(mel_edges(spec)).float()
    widths = edges[2:] - edges[:-2] if norm is None else None
    ours = distort.coloured_noise(
        mel[None], edges[1:-1], (1.0, 1.0), (0.0, 0.0), seeded(), widths=widths, floor_frames=1
    )[0, :, -1]
    added = ours - mel[:, -1]
    # Low filters are as narrow as an FFT bin, and leak.
    apart_db = 10 * (added / mel[:, :-1].mean(dim=1)).log10()[30:]
    assert apart_db.abs().max() < 2.0
    assert (apart_db - apart_db.mean()).std() < 0.4
    slope_db, _ = np.polyfit(edges[31:-1].log().numpy(), apart_db.numpy(), 1)
    assert abs(slope_db) < 0.1


def test_noise_needs_frequencies_above_zero(power: Tensor) -> None:
    with pytest.raises(ValueError, match="above 0 Hz"):
        distort.coloured_noise(power, torch.arange(16.0), (0.0, 2.0), (0.0, 20.0), seeded())


@pytest.mark.parametrize("apply", FILTERS.values())
def test_channels_lose_the_same_frequencies(apply: Distortion) -> None:
    nearest = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 2, 4, 6, 7, 7])
    power = torch.ones(9, 16, 5)
    found = apply(power, seeded(), bins_of_first=nearest)
    assert torch.equal(found[:, :8], apply(power[:, :8], seeded()))
    assert torch.equal(found, found[:, nearest])


def test_noise_has_one_slope_and_one_ratio_in_all_channels() -> None:
    power = torch.cat([torch.ones(3, 16, 4000), 1e-4 * torch.ones(3, 16, 4000)], dim=1)
    twice = torch.cat([CENTRES, CENTRES])
    noisy = distort.coloured_noise(power, twice, (1.0, 1.0), (10.0, 10.0), seeded(), channels=2)
    added = (noisy - power).mean(dim=2).view(3, 2, 16)
    torch.testing.assert_close(
        added.mean(dim=2), torch.tensor([0.1, 1e-5]).expand(3, 2), rtol=0.05, atol=0
    )
    torch.testing.assert_close(added[:, 0], 1e4 * added[:, 1], rtol=0.2, atol=0)
