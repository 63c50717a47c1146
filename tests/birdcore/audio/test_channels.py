"""Channels as recordings: their names, and what is read of each."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from birdcore.audio.channels import channel_name, file_and_channel, file_of
from birdcore.audio.cleaning import Recording, clean_recordings, kept_recordings
from birdcore.audio.decode import decode
from birdcore.audio.reading import Reading
from birdcore.store.job import no_progress

RATE = 8_000
EACH = Reading(channels="each")


@given(name=st.text(min_size=1), channel=st.integers(0, 200))
def test_a_name_says_file_and_channel(name: str, channel: int) -> None:
    assert file_and_channel(channel_name(name, channel)) == (name, channel)
    assert file_of("site/a#1.wav") == "site/a#1.wav"
    assert file_and_channel("a#channel=2.wav") == ("a#channel=2.wav", None)


def tones(path: Path, *levels: float) -> np.ndarray:
    """A file of a second; channel k has a tone of its own at a level."""
    t = np.arange(RATE) / RATE
    samples = np.stack(
        [level * np.sin(2 * np.pi * (400 + 300 * k) * t) for k, level in enumerate(levels)], axis=1
    )
    sf.write(path, samples, RATE, subtype="FLOAT")
    return samples.astype(np.float32)


def test_a_channel_is_decoded_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = tones(path, 0.1, 0.5, 0.2)
    for channel in range(3):
        found = np.concatenate(list(decode(path, EACH, channel).blocks()))
        np.testing.assert_array_equal(found, samples[:, channel])
    # As one recording it is the loudest.
    np.testing.assert_array_equal(np.concatenate(list(decode(path, EACH).blocks())), samples[:, 1])


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ((0.3,), ["a.wav"]),
        ((0.3, 0.1), ["a.wav#channel=1", "a.wav#channel=2"]),
        ((0.0, 0.1, 0.2), ["a.wav#channel=2", "a.wav#channel=3"]),  # a microphone was not there
        ((0.3, 0.0), ["a.wav#channel=1"]),
        ((0.0, 0.0), ["a.wav#channel=2"]),  # a soundscape's rows are asked for all the same
    ],
)
def test_each_channel_with_sound_is_a_recording(
    tmp_path: Path, levels: tuple[float, ...], names: list[str]
) -> None:
    samples = tones(tmp_path / "a.wav", *levels)
    recordings = [Recording("a.wav", tmp_path / "a.wav", "")]
    clean_recordings(recordings, None, {}, no_progress, (), EACH).write(tmp_path, ["a.wav"])
    found = dict(
        kept_recordings(
            tmp_path / "kept.parquet", lambda name: tmp_path / name, RATE, 0.0, no_progress, EACH
        )
    )
    assert list(found) == names
    for name, blocks in found.items():
        _, channel = file_and_channel(name)
        own = np.concatenate(list(blocks()))
        np.testing.assert_allclose(own, samples[:, channel or 0], atol=1e-6)
