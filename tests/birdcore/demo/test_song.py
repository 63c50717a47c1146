import numpy as np
import pytest

from birdcore.demo.song import SPECIES, Bird, Species, draw_bird, render, song

RATE = 32000


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def peak_hertz(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(np.fft.rfftfreq(len(samples), 1 / RATE)[np.argmax(power)])


def test_labels_and_names_are_unique() -> None:
    for field in ("label", "scientific_name", "common_name"):
        assert len({getattr(each, field) for each in SPECIES}) == len(SPECIES) >= 10


@pytest.mark.parametrize("species", SPECIES, ids=lambda each: each.label)
def test_sing_is_finite_audible_and_repeatable(species: Species) -> None:
    samples = render(species, rng(1), 6.0, RATE)
    assert samples.shape == (6 * RATE,)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert 0.2 < np.abs(samples).max() < 2.5
    np.testing.assert_array_equal(samples, render(species, rng(1), 6.0, RATE))
    assert not np.array_equal(samples, render(species, rng(2), 6.0, RATE))


@pytest.mark.parametrize("species", SPECIES, ids=lambda each: each.label)
def test_birds_of_a_species_differ_and_so_do_their_songs(species: Species) -> None:
    birds = [draw_bird(species, rng(seed)) for seed in range(8)]
    assert len({bird.pitch for bird in birds}) == 8
    assert len({bird.repertoire for bird in birds}) == 8
    renditions = {song(birds[0], rng(seed), RATE).tobytes() for seed in range(8)}
    assert len(renditions) == 8


def test_pitch_of_the_whistle_follows_the_formula() -> None:
    flat = Species("x", "x", "x", 3000, ((0, 0),), 0.5, 0.2, (1, 1), (1, 1), harmonics=(1.0,))
    bird = Bird(flat, pitch=1.1, tempo=1.0, brightness=1.0, warble=1.0, repertoire=((0, 0),))
    heard = peak_hertz(song(bird, rng(0), RATE))
    # a rendition's own shift has a deviation of a quarter of a semitone
    assert abs(12 * np.log2(heard / 3300)) < 1.0


def test_no_seconds_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="more seconds"):
        render(SPECIES[0], rng(0), 0.0, RATE)
