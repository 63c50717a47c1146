"""Headers that say too much, too little or nothing, written by hand."""

import struct
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdcore.audio.container import Container, container_of
from birdcore.audio.decode import Audio, Rejected, decode

FRAMES = 20_000
SAMPLES = (0.1 * np.random.default_rng(0).standard_normal((FRAMES, 2))).astype(np.float32)


def of(path: Path) -> Container:
    with FileIO(path) as file:
        return container_of(file)


def written(path: Path, **how: str) -> bytearray:
    sf.write(path, SAMPLES, 32_000, **how)
    return bytearray(path.read_bytes())


def test_files_as_soundfile_writes_them_are_trusted(tmp_path: Path) -> None:
    for name in ("a.wav", "a.aiff", "a.flac", "a.ogg"):
        written(tmp_path / name)
        assert of(tmp_path / name).trusted, name
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        written(tmp_path / "a.wav", subtype=subtype)
        assert of(tmp_path / "a.wav").trusted, subtype
    written(tmp_path / "a.wav", format="WAVEX")
    assert of(tmp_path / "a.wav").trusted


def test_codecs_in_wav_and_pipes_in_ogg_are_not_trusted(tmp_path: Path) -> None:
    for subtype in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"):
        written(tmp_path / "a.wav", subtype=subtype)
        assert not of(tmp_path / "a.wav").trusted, subtype
    sf.write(tmp_path / "a.ogg", SAMPLES, 48_000, subtype="OPUS")
    assert not of(tmp_path / "a.ogg").trusted


WHOLE = 4 * FRAMES
LENGTHS = {
    "sox": (0x7FFFF024, 0x7FFFF000),
    "arecord": (0x80000024, 0x80000000),
    "ffmpeg": (0xFFFFFFFF, 0xFFFFFFFF),
    "largest": (0xFFFFFFFF, 0xFFFFFFFF - 36),
    "largest signed": (0x7FFFFFFF, 0x7FFFFFFF - 36),
    "zero": (0, 0),
    "unfinished": (36, 0),
    "data unfinished": (WHOLE + 36, 0),
    "riff unfinished": (0, WHOLE),
    "riff too long": (WHOLE + 36 + 8, WHOLE),
    "riff too short": (WHOLE + 36 - 5, WHOLE),
    "riff of half": (WHOLE // 2, WHOLE),
    "header counted": (WHOLE + 36, WHOLE + 44),
    "riff's length for data": (WHOLE + 36, WHOLE + 36),
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW"])
def test_a_wav_of_any_announced_length_is_decoded_to_its_end(
    tmp_path: Path, lengths: tuple[int, int], subtype: str
) -> None:
    content = written(tmp_path / "a.wav", subtype=subtype)
    expected = decode(tmp_path / "a.wav")
    if subtype == "ULAW":
        lengths = tuple(n - WHOLE // 2 if WHOLE // 2 < n < 2 * WHOLE else n for n in lengths)
    data = content.find(b"data") + 4
    content[4:8], content[data : data + 4] = (struct.pack("<I", n) for n in lengths)
    (tmp_path / "a.wav").write_bytes(content)
    audio = decode(tmp_path / "a.wav")
    assert (audio.frames, audio.truncated, audio.problem) == (expected.frames, False, "")
    np.testing.assert_array_equal(audio.samples, expected.samples)


def test_a_wav_whose_length_ends_within_a_sample_is_read(tmp_path: Path) -> None:
    content = written(tmp_path / "a.wav")
    content[40:44] = struct.pack("<I", WHOLE - 1)
    (tmp_path / "a.wav").write_bytes(content)
    audio = decode(tmp_path / "a.wav")
    assert (audio.frames, audio.problem) == (FRAMES - 1, "")


def test_chunks_behind_and_before_the_sound_are_not_sound(tmp_path: Path) -> None:
    content = written(tmp_path / "a.wav")
    more = b"LIST" + struct.pack("<I", 301) + bytes(302)
    content = content[:12] + more + content[12:] + more
    content[4:8] = struct.pack("<I", len(content) - 8)
    (tmp_path / "a.wav").write_bytes(content)
    assert of(tmp_path / "a.wav").trusted
    audio = decode(tmp_path / "a.wav")
    assert (audio.frames, audio.problem) == (FRAMES, "")


@pytest.mark.parametrize("missing", [1_000, WHOLE // 3, WHOLE - 4])
@pytest.mark.parametrize("suffix", [".wav", ".aiff"])
def test_what_a_truthful_header_promises_beyond_the_end_is_missing(
    tmp_path: Path, suffix: str, missing: int
) -> None:
    content = written(tmp_path / f"a{suffix}")
    (tmp_path / f"a{suffix}").write_bytes(content[:-missing])
    audio = decode(tmp_path / f"a{suffix}")
    read = audio.frames / 32_000
    assert audio.truncated
    assert audio.problem == f"cut off after {read:.2f} s of {FRAMES / 32_000:.2f} s"


def test_a_flac_without_its_total_is_whole(tmp_path: Path) -> None:
    content = written(tmp_path / "a.flac")
    expected = decode(tmp_path / "a.flac").samples
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    audio = decode(tmp_path / "a.flac")
    assert audio.problem == ""
    np.testing.assert_array_equal(audio.samples, expected)


def test_flacs_one_behind_another_are_all_read(tmp_path: Path) -> None:
    content = written(tmp_path / "a.flac")
    sf.write(tmp_path / "b.flac", SAMPLES[::-1], 32_000)
    (tmp_path / "both.flac").write_bytes(content + (tmp_path / "b.flac").read_bytes())
    audio = decode(tmp_path / "both.flac")
    assert audio.problem == ""
    assert 0 <= 2 * FRAMES - audio.frames <= 4_096  # FFmpeg may lose a frame at the seam
    one, two = (decode(tmp_path / name).samples for name in ("a.flac", "b.flac"))
    np.testing.assert_array_equal(audio.samples[:15_000], one[:15_000])
    np.testing.assert_array_equal(audio.samples[-15_000:], two[-15_000:])


def test_an_id3_tag_before_and_behind_changes_nothing(tmp_path: Path) -> None:
    tag = b"ID3\x04\0\0\0\0\x02\x10" + bytes(272)
    for name in ("a.flac", "a.mp3"):
        content = written(tmp_path / name)
        expected = decode(tmp_path / name)
        (tmp_path / name).write_bytes(tag + content + b"TAG" + bytes(125))
        audio = decode(tmp_path / name)
        assert (audio.frames, audio.problem) == (expected.frames, ""), name


KINDS = ("a.wav", "a.aiff", "a.flac", "a.ogg", "a.mp3")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("kinds")
    return {name: bytes(written(folder / name)) for name in KINDS}


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(KINDS),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.001, 1),
    doubled=st.booleans(),
)
def test_a_damaged_file_decodes_or_is_rejected(
    tmp_path: Path,
    contents: dict[str, bytes],
    name: str,
    changes: list[tuple[int, int]],
    kept: float,
    doubled: bool,
) -> None:
    content = bytearray(contents[name])
    for at, value in changes:
        content[at] = value
    content = content[: int(kept * len(content))] * (1 + doubled)
    (tmp_path / name).write_bytes(content)
    try:
        audio = decode(tmp_path / name)
    except Rejected as error:
        assert str(error)  # noqa: PT017
        return
    assert isinstance(audio, Audio)
    assert audio.frames == len(audio.samples) > 0
    assert np.isfinite(audio.samples).all()
    assert bool(audio.problem) >= audio.truncated
