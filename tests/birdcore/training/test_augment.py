import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from birdcore.training import augment


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def power() -> Tensor:
    return torch.rand(6, 8, 10, generator=seeded(1)) + 0.1


@pytest.fixture
def labels() -> Tensor:
    return torch.rand(6, 4, generator=seeded(2))


@given(batch=st.integers(2, 40), seed=st.integers(0, 1000))
def test_everybody_is_somebody_elses_partner(batch: int, seed: int) -> None:
    partner = augment.draw_partner(batch, seeded(seed))
    assert sorted(partner.tolist()) == list(range(batch))
    assert (partner != torch.arange(batch)).all()


@pytest.mark.parametrize("alpha", [0.1, 0.5, 3.0])
def test_weights_come_from_beta(alpha: float) -> None:
    lam, _ = augment.draw_mixup(4000, seeded(), probability=1.0, alpha=alpha)
    inner = lam[(lam > 1e-4) & (lam < 1 - 1e-4)].double().numpy()
    beta = stats.beta(alpha, alpha)
    low, high = beta.cdf([1e-4, 1 - 1e-4])
    assert len(inner) / 4000 == pytest.approx(high - low, abs=0.03)
    assert stats.kstest(inner, lambda x: (beta.cdf(x) - low) / (high - low)).pvalue > 0.01


def test_a_share_of_the_batch_is_mixed() -> None:
    lam, partner = augment.draw_mixup(4000, seeded(), probability=0.3, weight=0.5)
    assert set(lam.tolist()) == {0.5, 1.0}
    assert (lam == 0.5).float().mean().item() == pytest.approx(0.3, abs=0.03)
    again, partner_again = augment.draw_mixup(4000, seeded(), probability=0.3, weight=0.5)
    assert torch.equal(lam, again)
    assert torch.equal(partner, partner_again)


@pytest.mark.parametrize("given_", [{}, {"alpha": 0.5, "weight": 0.5}])
def test_mixup_takes_one_way_to_weigh(given_: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="either alpha"):
        augment.draw_mixup(4, seeded(), **given_)


def test_mixup_by_hand(power: Tensor, labels: Tensor) -> None:
    lam = torch.tensor([1.0, 0.5, 0.25, 1.0, 0.9, 0.0])
    partner = augment.draw_partner(6, seeded())
    hows: tuple[augment.LabelMix, ...] = ("soft", "max", "add")
    for how in hows:
        mixed, mixed_labels = augment.mixup(power, labels, lam, partner, how)
        for i, (share, j) in enumerate(zip(lam.tolist(), partner.tolist(), strict=True)):
            sound = share * power[i] + (1 - share) * power[j]
            torch.testing.assert_close(mixed[i], sound)
            label = {
                "soft": share * labels[i] + (1 - share) * labels[j],
                "max": torch.maximum(labels[i], labels[j]),
                "add": (labels[i] + labels[j]).clamp(max=1),
            }[how]
            torch.testing.assert_close(mixed_labels[i], labels[i] if share == 1 else label)
        assert torch.equal(mixed[0], power[0])
        assert torch.equal(mixed_labels[0], labels[0])


def test_other_label_mixes_are_refused(labels: Tensor) -> None:
    with pytest.raises(ValueError, match="soft, max or add"):
        augment.mix_labels(labels, labels, torch.ones(6), "hard")  # type: ignore[arg-type]


def test_a_constant_mix_can_match_the_power(power: Tensor) -> None:
    loud = power.flip(0) * 1000
    torch.testing.assert_close(augment.mix_constant(power, loud, 0.25), 0.75 * power + 0.25 * loud)
    matched = augment.mix_constant(power, loud, 0.25, match_power=True)
    torch.testing.assert_close(matched.mean(dim=(1, 2)), power.mean(dim=(1, 2)))
    again = augment.mix_constant(power, loud * 7, 0.25, match_power=True)
    torch.testing.assert_close(again, matched)
    silence = torch.zeros_like(power)
    torch.testing.assert_close(
        augment.mix_constant(silence, power, 0.5, match_power=True), 0.5 * power
    )
    torch.testing.assert_close(
        augment.mix_constant(power, silence, 0.5, match_power=True), 0.5 * power
    )


def test_sumix_of_waves_is_sumix_of_power_on_average() -> None:
    waves = torch.randn(64, 20_000, generator=seeded())
    labels = torch.eye(64)
    gains, partner = augment.draw_sumix(64, (-12.0, 6.0), seeded(3), probability=0.7)
    wave, wave_labels = augment.sumix(waves, labels, gains, partner, "wave")
    power = waves.square().mean(dim=1)[:, None, None]
    mixed, power_labels = augment.sumix(power, labels, gains, partner, "power")
    torch.testing.assert_close(wave.square().mean(dim=1), mixed[:, 0, 0], rtol=0.05, atol=0)
    assert torch.equal(wave_labels, power_labels)
    alone = gains[:, 1].isneginf()
    assert 5 < alone.sum() < 35
    assert torch.equal(wave[alone], waves[alone])
    assert torch.equal(wave_labels[alone], labels[alone])
    assert torch.equal(wave_labels[~alone], torch.maximum(labels, labels[partner])[~alone])
    assert ((gains[~alone] >= -12) & (gains[~alone] <= 6)).all()


def test_sounds_and_labels_may_be_on_two_devices(power: Tensor, labels: Tensor) -> None:
    elsewhere = power.to("meta")
    lam, partner = augment.draw_mixup(6, seeded(), weight=0.5)
    mixed, mixed_labels = augment.mixup(elsewhere, labels, lam, partner, "max")
    assert (mixed.device.type, mixed_labels.device.type) == ("meta", "cpu")
    assert torch.equal(mixed_labels, augment.mixup(power, labels, lam, partner, "max")[1])
    gains, partner = augment.draw_sumix(6, (-6.0, 6.0), seeded())
    mixed, mixed_labels = augment.sumix(elsewhere, labels, gains, partner, "power")
    assert (mixed.device.type, mixed_labels.device.type) == ("meta", "cpu")


def test_gain_is_one_draw_for_a_sample(power: Tensor) -> None:
    gain_db = 10 * (augment.random_gain(power, -6.0, 12.0, seeded()) / power).log10()
    torch.testing.assert_close(gain_db, gain_db[:, :1, :1].expand_as(gain_db), atol=1e-4, rtol=0)
    assert ((gain_db > -6.01) & (gain_db < 12.01)).all()
    assert len({round(gain, 3) for gain in gain_db[:, 0, 0].tolist()}) == 6


@pytest.mark.parametrize(("width", "axis"), [(5, 2), (8, 2), (7, 3), (10, 3)])
def test_one_mask_equals_torchaudio(width: int, axis: int) -> None:
    """From the same stream of draws, the very same bands."""
    x = torch.rand(50, 8, 10, generator=seeded()) + 1
    torch.manual_seed(5)
    expected = torchaudio.functional.mask_along_axis_iid(x[:, None], width, -3.0, axis)[:, 0]
    masks = (1, 0) if axis == 2 else (0, 1)
    got = augment.spec_augment(x, width, width, *masks, seeded(5), fill=-3.0)
    assert torch.equal(got, expected)
    assert (got == -3).any()


@given(seed=st.integers(0, 500), widths=st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_masks_are_bands_of_their_own_sample(seed: int, widths: tuple[int, int]) -> None:
    x = torch.rand(5, 8, 10, generator=seeded()) + 1
    got = augment.spec_augment(x, *widths, 2, 2, seeded(seed))
    hidden = got == 0
    assert torch.equal(got[~hidden], x[~hidden])
    bins, frames = hidden.all(dim=2), hidden.all(dim=1)
    if not (bins.all(dim=1) | frames.all(dim=1)).any():
        assert torch.equal(hidden, bins[:, :, None] | frames[:, None, :])
    assert bins.sum(dim=1).max() <= 2 * max(0, min(widths[0], 8) - 1) or frames.all(dim=1).any()
    assert frames.sum(dim=1).max() <= 2 * max(0, min(widths[1], 10) - 1) or bins.all(dim=1).any()


def test_masks_differ_between_samples_and_repeat_with_the_seed() -> None:
    x = torch.ones(8, 32, 64)
    got = augment.spec_augment(x, 8, 16, 1, 1, seeded())
    assert torch.equal(got, augment.spec_augment(x, 8, 16, 1, 1, seeded()))
    assert not torch.equal(got, augment.spec_augment(x, 8, 16, 1, 1, seeded(1)))
    assert (got != got[:1]).flatten(1).any(dim=1)[1:].all()


def test_masks_hide_the_same_frequencies_in_all_channels() -> None:
    x = torch.ones(9, 2, 8, 12)
    nearest = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 2, 4, 6, 7, 7])
    got = augment.spec_augment(x, 4, 5, 2, 1, seeded(), bins=nearest)
    assert torch.equal(got[:, 0], augment.spec_augment(x[:, 0], 4, 5, 2, 1, seeded()))
    assert torch.equal(got.flatten(1, 2), got.flatten(1, 2)[:, nearest])
    one = augment.spec_augment(x[:, :1], 4, 5, 2, 1, seeded())
    assert torch.equal(one[:, 0], got[:, 0])


def correlated_nowhere(batch: int) -> Tensor:
    """Waves (batch, 8, 4096) of different levels, which add in power but for 2 %."""
    waves = torch.randn(batch, 8, 4096, generator=seeded(4))
    return waves * torch.linspace(0.2, 2.0, batch)[:, None, None]


def test_what_mixes_waves_has_the_power_of_what_mixes_powers() -> None:
    waves, labels = correlated_nowhere(6), torch.rand(6, 4, generator=seeded(2))
    powers = waves.square()
    lam = torch.tensor([1.0, 0.5, 0.25, 1.0, 0.9, 0.0])
    partner = augment.draw_partner(6, seeded())

    def mixes(sounds: Tensor, domain: augment.Domain) -> list[Tensor]:
        other = sounds.roll(1, 0)
        return [
            augment.mixup(sounds, labels, lam, partner, "max", domain)[0],
            augment.mix_constant(sounds, other, 0.3, domain=domain),
            augment.mix_constant(sounds, other, 0.3, match_power=True, domain=domain),
            augment.random_gain(sounds, -6.0, 6.0, seeded(), domain),
        ]

    for wave, power in zip(mixes(waves, "wave"), mixes(powers, "power"), strict=True):
        found = augment.mean_power(wave, "wave")
        torch.testing.assert_close(found, augment.mean_power(power, "power"), rtol=0.03, atol=0)


def test_waves_mix_by_amplitudes(labels: Tensor) -> None:
    """By hand: a half of the power of each is the sum over the root of two."""
    waves = correlated_nowhere(6)
    lam, partner = torch.full((6,), 0.5), augment.draw_partner(6, seeded())
    mixed, _ = augment.mixup(waves, labels, lam, partner, "max", "wave")
    torch.testing.assert_close(mixed, (waves + waves[partner]) / 2**0.5)
    alone, _ = augment.mixup(waves, labels, torch.ones(6), partner, "max", "wave")
    assert torch.equal(alone, waves)
