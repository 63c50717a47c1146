"""Pieces of recordings: where `decode` has them, and without what lies before."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.audio.decode import decode
from birdcore.audio.piece import read_piece
from birdcore.audio.stream import Rejected


@pytest.mark.parametrize(
    "pattern",
    [
        "field/recorder-day/*_000000.flac",
        "field/recorders/metadata.wav",
        "birdclef-mini/train_audio/*/*.ogg",
        "xeno-canto/audio/*.mp3",
        "xeno-canto/audio/*.flac",
    ],
)
def test_piece_is_where_decode_has_it(shared_data: Path, pattern: str) -> None:
    for path in sorted(shared_data.glob(pattern))[:3]:
        audio = decode(path)
        for start_s in (0.0, audio.duration_s * 0.4, audio.duration_s - 0.3):
            samples, rate = read_piece(path, start_s, start_s + 1.0)
            first = round(start_s * rate)
            assert samples.shape == (min(rate, audio.frames - first), audio.channels)
            expected = audio.samples[first : first + len(samples)]
            np.testing.assert_allclose(samples.mean(axis=1), expected, atol=1e-4)


def test_what_libsndfile_can_not_seek_in_is_read_up_to_the_piece(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).normal(0, 0.1, (8000, 2)).astype(np.float32)
    for name in "ab":
        sf.write(tmp_path / f"{name}.ogg", whole, 8000, format="OGG", subtype="VORBIS")
    chained = tmp_path / "chained.ogg"
    chained.write_bytes((tmp_path / "a.ogg").read_bytes() + (tmp_path / "b.ogg").read_bytes())
    samples, rate = read_piece(chained, 1.25, 1.75)
    link, _ = sf.read(tmp_path / "b.ogg", dtype="float32")
    assert (samples.shape, rate) == ((4000, 2), 8000)
    np.testing.assert_allclose(samples, link[2000:6000], atol=1e-3)


def test_channels_stay_and_the_end_is_the_end(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    ramp = np.linspace(-0.5, 0.5, 48_000, dtype=np.float32)
    sf.write(path, np.stack([ramp, -ramp], axis=1), 48_000, subtype="FLOAT")
    samples, _ = read_piece(path, -1.0, 0.5)
    np.testing.assert_array_equal(samples, np.stack([ramp, -ramp], axis=1)[:24_000])
    assert len(read_piece(path, 0.75, 9.0)[0]) == 12_000
    assert len(read_piece(path, 0.5, 0.5)[0]) == 1
    with pytest.raises(Rejected, match=r"it ends before 2\.00 s"):
        read_piece(path, 2.0, 3.0)


def test_what_is_no_recording_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="can't be opened: No such file"):
        read_piece(tmp_path / "gone.wav", 0.0, 1.0)
    (tmp_path / "page.ogg").write_text("<html>not found</html>")
    with pytest.raises(Rejected, match="not a readable sound file"):
        read_piece(tmp_path / "page.ogg", 0.0, 1.0)
