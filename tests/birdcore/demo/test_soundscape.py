import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.demo import propagation
from birdcore.demo.song import SPECIES, Samples
from birdcore.demo.soundscape import Event, soundscape, windows

RATE = 32000


def test_every_listed_species_is_heard_in_time() -> None:
    samples, events = soundscape(SPECIES, np.random.default_rng(0), 20, RATE)
    assert samples.shape == (20 * RATE,)
    assert samples.dtype == np.float32
    assert 0.01 < np.abs(samples).max() < 0.91
    assert {event.label for event in events} == {each.label for each in SPECIES}
    assert all(0 <= event.start_s < event.end_s <= 20 for event in events)
    assert windows(events, [each.label for each in SPECIES], 20).any(axis=0).all()


def test_same_generator_same_soundscape() -> None:
    one, two = (soundscape(SPECIES[:2], np.random.default_rng(5), 10, RATE) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1]


def test_events_are_where_the_songs_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(samples: int, *_: object) -> Samples:
        return np.zeros(samples, dtype=np.float32)

    monkeypatch.setattr(propagation, "ambience", silence)
    for seed, species in enumerate(SPECIES):
        samples, events = soundscape([species], np.random.default_rng(seed), 20, RATE)
        outside = np.ones(len(samples), dtype=bool)
        for event in events:
            first, last = int(event.start_s * RATE), int(event.end_s * RATE)
            assert np.abs(samples[first:last]).max() > 0.1 * np.abs(samples).max()
            # .8 s is the longest echo, .02 s the smearing of the filter
            outside[max(first - RATE // 50, 0) : last + int(0.82 * RATE)] = False
        assert np.abs(samples[outside]).max(initial=0) < 1e-3 * np.abs(samples).max()


def test_windows_by_hand() -> None:
    events = [
        Event("a", 4.0, 5.4),  # .4 s in the second window: not there
        Event("a", 14.5, 15.5),  # .5 s on each side
        Event("b", 9.8, 10.1),  # short: .2 of .3 s in the second window
    ]
    expected = [[1, 0], [0, 1], [1, 0], [1, 0]]
    np.testing.assert_array_equal(windows(events, ["a", "b"], 20), np.array(expected, dtype=bool))


@given(st.floats(0, 15), st.floats(0.05, 5))
@settings(deadline=None)
def test_no_song_is_lost_between_windows(start: float, length: float) -> None:
    truth = windows([Event("a", start, start + length)], ["a"], 20)[:, 0]
    assert truth.any()
    assert not truth[: int(start // 5)].any()
    assert not truth[int((start + length) // 5) + 1 :].any()


def test_too_short_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="too short"):
        soundscape(SPECIES[:1], np.random.default_rng(0), 4, RATE)
