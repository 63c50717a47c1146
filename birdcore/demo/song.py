"""Species that sing by formula, so that a first run needs no recording of a real bird.

A song is a row of syllables. A syllable is a pitch contour (semitones around the species' pitch)
with an envelope, harmonics, a second voice, a fast warble or band noise. `draw_bird` draws one bird
of a species: its own pitch, tempo, timbre and repertoire. `song` is one rendition by that bird, and
no two are equal. Names and labels are invented; none is in eBird or any taxonomy.
"""

from dataclasses import dataclass
from math import pi

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

Samples = npt.NDArray[np.float32]
Contour = tuple[float, ...]

SINE: tuple[float, ...] = (1.0, 0.05)


@dataclass(frozen=True)
class Species:
    """A label, its names and the formula of its song."""

    label: str
    scientific_name: str
    common_name: str
    pitch_hz: float
    contours: tuple[Contour, ...]  # the stock of syllables: semitones at evenly spaced times
    syllable_s: float
    gap_s: float
    syllables: tuple[int, int]  # fewest and most in a song
    pause_s: tuple[float, float]  # shortest and longest between songs
    harmonics: tuple[float, ...] = SINE  # amplitude of partial 1, 2, ...
    voice2: float = 0.0  # semitones from the first to the second voice; 0 is one voice
    warble_hz: float = 0.0
    warble: float = 0.0  # semitones
    beat_hz: float = 0.0  # amplitude modulation
    noise_hz: float = 0.0  # bandwidth of the noise that replaces the tone; 0 is a tone
    step: float = 0.0  # semitones from one syllable to the next
    slowing: float = 0.0  # relative growth of the gaps over the song
    mixed: bool = False  # syllables of one song come from all of the repertoire


SPECIES = (
    Species(
        "plawhi", "Demoavis sinus", "Plain Sinewhistler", 3100, ((0, 0.3, 0), (0.8, 0, -0.6),
        (-0.5, 0.2, 0.7)), 0.55, 0.22, (2, 4), (1.5, 4), step=-0.8,
    ),
    Species(
        "swefin", "Demoavis ascendens", "Sweepfinch of Nowhere", 3900, ((-6, -2, 6), (-5, 1, 5),
        (-7, 3, 6)), 0.19, 0.13, (4, 8), (1.5, 4),
    ),
    Species(
        "ratrob", "Demoavis celer", "Ratchet Formularobin", 4200, ((3, 0, -3), (2, 1, -4),
        (-1, 2, -3)), 0.036, 0.016, (22, 45), (2, 5), step=-0.03,
    ),
    Species(
        "buzwar", "Demoavis modulata", "Modulated Buzzformula", 4700, ((-1, 0, 0), (0, 0, 2),
        (1, 0, -1)), 0.75, 0.16, (1, 3), (2, 5), warble_hz=95, warble=2.6, beat_hz=95,
    ),
    Species(
        "duovoi", "Demoavis duplex", "Duplex Imaginary Thrush", 1500, ((0, 2, 0), (2, 0, -2),
        (-1, -1, 3)), 0.34, 0.2, (2, 5), (2, 5), harmonics=(1, 0.7, 0.5, 0.35, 0.2), voice2=4.4,
        mixed=True,
    ),
    Species(
        "chiser", "Demoavis seriata", "Serial Chirplet", 4500, ((6, 1, -5), (5, -2, -5),
        (7, 0, -4)), 0.075, 0.07, (7, 15), (1.5, 4), slowing=0.8,
    ),
    Species(
        "slowar", "Demoavis lenta", "Slow Demowarbler", 2500, ((0, 4, -3, 2, -4), (-3, 1, 5, -2, 1),
        (4, -4, 2, 3, -2), (-2, 3, 0, 5, -5)), 0.7, 0.07, (2, 5), (2, 5), harmonics=(1, 0.2, 0.05),
        mixed=True,
    ),
    Species(
        "inatic", "Demoavis insectoides", "Insectoid Tickbird", 7600, ((2, -2), (1, 0), (-1, -3)),
        0.014, 0.1, (14, 34), (2, 6),
    ),
    Species(
        "risphr", "Demoavis scalaris", "Scalar Risingtail", 2600, ((-0.5, 0.6), (0.8, -0.8),
        (0, 1, 0)), 0.13, 0.07, (6, 10), (2, 5), harmonics=(1, 0.25), step=1.5,
    ),
    Species(
        "noicha", "Demoavis strepens", "White-noised Chatterer", 4000, ((0, 1), (2, -2), (-2, 0)),
        0.07, 0.06, (6, 16), (1.5, 5), noise_hz=2600,
    ),
    Species(
        "dowfin", "Demoavis descendens", "Downsweep Nullfinch", 3900, ((6, 2, -6), (5, -1, -5),
        (6, -3, -7)), 0.19, 0.13, (4, 8), (1.5, 4),
    ),
    Species(
        "whinul", "Demoavis hinniens", "Null Whinny", 3300, ((-1, 1.5, -1), (1, 2, -2),
        (-2, 1, 0)), 0.06, 0.05, (10, 18), (2, 6), harmonics=(1, 0.3, 0.1), step=-0.6,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Bird:
    """One individual: a species and what is its own."""

    species: Species
    pitch: float  # factors on the species' formula
    tempo: float
    brightness: float
    warble: float
    repertoire: tuple[Contour, ...]


def draw_bird(species: Species, generator: np.random.Generator) -> Bird:
    """Draw one bird of a species: pitch ± 8 %, tempo ± 12 % (standard deviations), repertoire."""
    kept = generator.permutation(len(species.contours))[: generator.integers(1, 3)]
    return Bird(
        species=species,
        pitch=_spread(0.08, generator),
        tempo=_spread(0.12, generator),
        brightness=float(generator.uniform(0.5, 1.5)),
        warble=_spread(0.1, generator),
        repertoire=tuple(
            tuple(float(knot + generator.normal(0.0, 0.5)) for knot in species.contours[k])
            for k in kept
        ),
    )


def _spread(deviation: float, generator: np.random.Generator) -> float:
    """A log-normal factor around 1, cut at 2.5 deviations."""
    return float(np.exp(deviation * np.clip(generator.normal(), -2.5, 2.5)))


def song(bird: Bird, generator: np.random.Generator, rate: int) -> Samples:
    """One rendition, (samples,), about 0.3 to 5 s long, loudest syllable at amplitude about 1."""
    species = bird.species
    count = int(generator.integers(species.syllables[0], species.syllables[1] + 1))
    shapes = generator.integers(len(bird.repertoire), size=count)
    if not species.mixed:
        shapes[:] = shapes[0]
    tempo = bird.tempo * np.exp(generator.normal(0.0, 0.04))
    lengths = species.syllable_s / tempo * np.exp(generator.normal(0.0, 0.05, count))
    gaps = species.gap_s / tempo * np.exp(generator.normal(0.0, 0.08, count))
    gaps *= 1 + species.slowing * np.arange(count) / count
    starts = np.cumsum(lengths + gaps) - (lengths + gaps)
    keys = species.step * (np.arange(count) - count / 2) + generator.normal(0.0, 0.15, count)
    keys += 12 * np.log2(bird.pitch) + generator.normal(0.0, 0.2)
    loudness = 10 ** (generator.uniform(-4.0, 0.0, count) / 20)

    out = np.zeros(int((starts[-1] + lengths[-1]) * rate) + 2, dtype=np.float32)
    for k in range(count):
        contour = bird.repertoire[shapes[k]]
        note = loudness[k] * _syllable(bird, contour, keys[k], lengths[k], generator, rate)
        first = int(starts[k] * rate)
        out[first : first + len(note)] += note
    return out


def render(
    species: Species, individual: np.random.Generator, seconds: float, rate: int = 32000
) -> Samples:
    """One bird singing with pauses, (seconds * rate,). The generator is the bird: each has its own.

    Raises ValueError when `seconds` holds no sample.
    """
    if int(seconds * rate) < 1:
        raise ValueError(f"a song of {seconds} s at {rate} Hz has no samples: ask for more seconds")
    bird = draw_bird(species, individual)
    out = np.zeros(int(seconds * rate), dtype=np.float32)
    at = int(individual.uniform(0.0, 1.0) * rate)
    while at < len(out):
        part = song(bird, individual, rate)[: len(out) - at]
        out[at : at + len(part)] = part
        at += len(part) + int(individual.uniform(*species.pause_s) * rate)
    return out


def _syllable(
    bird: Bird,
    contour: Contour,
    key: float,
    seconds: float,
    generator: np.random.Generator,
    rate: int,
) -> Samples:
    """(samples,) of one syllable, `key` semitones from the species' pitch."""
    species = bird.species
    time = np.arange(max(int(seconds * rate), 2)) / rate
    place = time / time[-1]
    semitones = key + np.interp(place, np.linspace(0, 1, len(contour)), contour)
    if species.warble:
        semitones += species.warble * np.sin(2 * pi * species.warble_hz * bird.warble * time)
    hertz = np.minimum(species.pitch_hz * 2 ** (semitones / 12), 0.45 * rate)
    phase = 2 * pi * np.cumsum(hertz) / rate + generator.uniform(0, 2 * pi)
    if species.noise_hz:
        wave = np.sin(phase) * _slow_noise(len(time), species.noise_hz, generator, rate)
    else:
        wave = _partials(bird, phase, hertz, rate)
        if species.voice2:
            ratio = 2 ** (species.voice2 / 12)
            wave = 0.6 * (wave + _partials(bird, ratio * phase, ratio * hertz, rate))
    if species.beat_hz:
        wave *= 0.6 + 0.4 * np.sin(2 * pi * species.beat_hz * bird.warble * time)
    ramp = np.minimum(1.0, np.minimum(place, 1 - place) / 0.2)
    return np.asarray(wave * np.sin(ramp * pi / 2) ** 2, dtype=np.float32)


def _partials(
    bird: Bird, phase: npt.NDArray[np.float64], hertz: npt.NDArray[np.float64], rate: int
) -> npt.NDArray[np.float64]:
    """Harmonics with the bird's own brightness; a partial is silent near the Nyquist frequency."""
    wave = np.zeros_like(phase)
    for n, amplitude in enumerate(bird.species.harmonics, start=1):
        own = amplitude * bird.brightness ** (n > 1)
        wave += own * np.sin(n * phase) * (n * hertz < 0.47 * rate)
    return wave / sum(bird.species.harmonics)


def _slow_noise(
    samples: int, bandwidth_hz: float, generator: np.random.Generator, rate: int
) -> npt.NDArray[np.float64]:
    """Noise of about unit peak below half a bandwidth: on a carrier it becomes a band of noise."""
    width = max(int(rate / bandwidth_hz), 1)
    noise = generator.normal(0.0, 0.5 * width**0.5, samples)
    return np.asarray(uniform_filter1d(noise, width), dtype=np.float64)
