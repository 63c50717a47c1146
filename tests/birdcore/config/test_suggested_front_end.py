import pytest

from birdcore.config.suggested_front_end import suggest_front_end

BIRDS, FROGS, CRICKETS, BATS = {"Aves"}, {"Amphibia"}, {"Insecta"}, {"Chiroptera"}


def test_birds_are_read_at_32_khz_whatever_higher_rate_they_have() -> None:
    for rates in ({32_000: 148}, {48_000: 100, 44_100: 48}, {384_000: 9}):
        mel = suggest_front_end(rates, BIRDS)
        assert (mel.sample_rate, mel.f_min, mel.f_max) == (32_000, 50.0, 14_000.0)
        assert (mel.n_fft, mel.hop_length, mel.n_mels) == (2048, 512, 128)


def test_rate_is_what_most_recordings_reach() -> None:
    assert suggest_front_end({48_000: 79, 22_050: 21}, BIRDS).sample_rate == 22_050
    assert suggest_front_end({48_000: 80, 22_050: 20}, BIRDS).sample_rate == 32_000
    assert suggest_front_end({22_050: 5}, BIRDS).f_max == 11_025


def test_insects_are_read_up_to_half_their_rate() -> None:
    assert suggest_front_end({44_100: 9}, CRICKETS).f_max == 22_050
    mel = suggest_front_end({96_000: 9, 44_100: 1}, {"insects"})
    assert (mel.sample_rate, mel.f_max) == (96_000, 48_000)


def test_frogs_are_low_and_bats_high() -> None:
    frogs = suggest_front_end({48_000: 9}, FROGS)
    assert (frogs.sample_rate, frogs.f_max) == (24_000, 8_000)
    bats = suggest_front_end({384_000: 9}, BATS)
    assert (bats.sample_rate, bats.f_min, bats.f_max) == (384_000, 9_000, 125_000)
    assert bats.n_fft / 384_000 < 0.006  # a call lasts a few milliseconds


def test_a_mixture_has_the_band_of_all() -> None:
    mel = suggest_front_end({96_000: 9}, BIRDS | FROGS | CRICKETS)
    assert (mel.f_min, mel.f_max) == (50, 48_000)
    assert suggest_front_end({48_000: 9}, BIRDS | FROGS).f_max == 14_000


def test_unknown_groups_are_birds_but_for_rates_that_nobody_chooses_for_birds() -> None:
    assert suggest_front_end({48_000: 9}, {"Mammalia"}).f_max == 14_000
    assert suggest_front_end({192_000: 9}, {"Mammalia"}).f_max == 96_000
    assert suggest_front_end({2_000: 9}, {"Mammalia"}).f_min == 5
    assert suggest_front_end({48_000: 9}, ()) == suggest_front_end({48_000: 9}, BIRDS)


@pytest.mark.parametrize("rate", [100, 250, 1_000, 2_000, 8_000, 44_100, 250_000, 500_000])
def test_every_rate_and_group_has_a_front_end(rate: int) -> None:
    for groups in (BIRDS, FROGS, CRICKETS, BATS, {"Mammalia"}, BIRDS | BATS):
        spec = suggest_front_end({rate: 3}, groups).spec()
        assert spec.sample_rate <= rate
        assert spec.frame_rate > 3
        assert float(spec.centres()[-1]) < rate / 2


def test_no_recordings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one recording"):
        suggest_front_end({44_100: 0}, BIRDS)
    with pytest.raises(ValueError, match="positive rates"):
        suggest_front_end({0: 3}, BIRDS)
