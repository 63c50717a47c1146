"""Soundscapes: several birds at their distances, singing over each other in a noisy place.

Truth comes with the sound: an event is one song of one bird, without its echoes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from birdcore.demo import propagation
from birdcore.demo.song import Samples, Species, draw_bird, song

WINDOW_S = 5
DISTANCE_M = (8.0, 50.0)
SNR_DB = (8.0, 18.0)  # of a song at 10 m, in the band where birds sing
SONGS = (2, 6)  # by one bird in one soundscape


@dataclass(frozen=True)
class Event:
    label: str
    start_s: float
    end_s: float


def soundscape(
    species: Sequence[Species],
    generator: np.random.Generator,
    seconds: float = 60,
    rate: int = 32000,
) -> tuple[Samples, list[Event]]:
    """((seconds * rate,), events by start): one new bird per entry of `species`, each audible.

    A species listed twice has two birds. Raises ValueError below one window of 5 s.
    """
    if seconds < WINDOW_S:
        raise ValueError(f"a soundscape of {seconds} s is too short: ask for {WINDOW_S} s or more")
    samples = int(seconds * rate)
    sound = propagation.ambience(samples, generator, rate)
    near = 2**0.5 * 10 ** (float(generator.uniform(*SNR_DB)) / 20)
    events: list[Event] = []
    for each in species:
        first, songs, sung = song_bout(each, generator, samples, rate)
        metres = float(np.exp(generator.uniform(*np.log(DISTANCE_M))))
        arrived = propagation.propagate(songs, metres, generator, rate)[: samples - first]
        sound[first : first + len(arrived)] += np.float32(near) * arrived
        events += sung
    # quiet field recorders leave headroom; a near bird must not clip
    sound *= np.float32(min(0.03, 0.9 / np.abs(sound).max()))
    return sound, sorted(events, key=lambda event: (event.start_s, event.label))


def song_bout(
    species: Species, generator: np.random.Generator, samples: int, rate: int
) -> tuple[int, Samples, list[Event]]:
    """One new bird that sings a few songs somewhere in that time.

    Returns the sample where it begins, (bout,) of its songs with the pauses, and their events.
    """
    bird = draw_bird(species, generator)
    part = song(bird, generator, rate)[:samples]
    first = at = int(generator.integers(0, samples - len(part) + 1))
    parts: list[Samples] = []
    events: list[Event] = []
    for _ in range(generator.integers(SONGS[0], SONGS[1] + 1)):
        if at + len(part) > samples:
            break
        pause = int(generator.uniform(*species.pause_s) * rate)
        events.append(Event(species.label, at / rate, (at + len(part)) / rate))
        parts += [part, np.zeros(pause, dtype=np.float32)]
        at += len(part) + pause
        part = song(bird, generator, rate)
    return first, np.concatenate(parts[:-1]), events


def windows(
    events: Sequence[Event], labels: Sequence[str], seconds: float, least_s: float = 0.5
) -> npt.NDArray[np.bool_]:
    """(windows, labels): whether a label's song is in each 5 s window.

    A song counts when `least_s` of it is inside, or half of it where that is shorter.
    """
    truth = np.zeros((int(seconds) // WINDOW_S, len(labels)), dtype=np.bool_)
    starts = WINDOW_S * np.arange(len(truth))
    for event in events:
        inside = np.minimum(event.end_s, starts + WINDOW_S) - np.maximum(event.start_s, starts)
        enough = min(least_s, (event.end_s - event.start_s) / 2)
        # a song cut exactly in half would otherwise hang on the last bit of a float
        truth[:, labels.index(event.label)] |= inside >= enough - 1e-6
    return truth
