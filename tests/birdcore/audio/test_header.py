"""Headers of sound files agree with what decoding finds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.audio.decode import Rejected, decode
from birdcore.audio.header import read_header

FORMATS = [
    ("a.wav", "PCM_16"),
    ("a.wav", "FLOAT"),
    ("a.aiff", "PCM_24"),
    ("a.flac", "PCM_16"),
    ("a.ogg", "VORBIS"),
    ("a.opus", "OPUS"),
    ("a.w64", "PCM_16"),
]


def write(path: Path, subtype: str) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal((48_000 * 3, 2))
    sf.write(path, samples, 48_000, subtype, format="OGG" if subtype == "OPUS" else None)


@pytest.mark.parametrize(("name", "subtype"), FORMATS)
def test_form_and_length(tmp_path: Path, name: str, subtype: str) -> None:
    write(tmp_path / name, subtype)
    header = read_header(tmp_path / name)
    audio = decode(tmp_path / name)
    assert (header.rate, header.channels) == (audio.rate, audio.channels) == (48_000, 2)
    assert header.seconds == pytest.approx(audio.duration_s)
    assert header.format.endswith(subtype)
    assert header.problem == audio.problem == ""


@pytest.mark.parametrize("share", [0.99, 0.4])
@pytest.mark.parametrize(("name", "subtype"), FORMATS[:-1])  # a Wave64 is read up to its end
def test_a_cut_file_is_not_whole(tmp_path: Path, name: str, subtype: str, share: float) -> None:
    path = tmp_path / name
    write(path, subtype)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert decode(path).truncated
    assert read_header(path).problem.startswith("cut off")


def test_ffmpeg_reads_what_libsndfile_does_not(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.m4a"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        for at in range(0, 88_200, 1024):
            samples = np.zeros((1, 1024), np.float32) + 0.1
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    header = read_header(path)
    assert (header.rate, header.channels, header.format) == (44_100, 1, "M4A")
    assert header.seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty file"), (b"<html>", "not a readable sound file")]
)
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(content)
    with pytest.raises(Rejected, match=reason):
        read_header(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="is a directory"):
        read_header(tmp_path)
