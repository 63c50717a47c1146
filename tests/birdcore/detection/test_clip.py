"""A clip as a teacher hears it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.detection.clip import hear_clip
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer

RATE = 8_000


def open_fake(threads: int) -> Infer:
    """The loudest window is the surest; embeddings are the first and the last sample."""

    def hear(waves: Floats) -> tuple[Floats, Floats]:
        loud = np.abs(waves).mean(axis=1)
        return np.stack([0 * loud, loud], axis=1), waves[:, [0, -1]]

    return hear


CREDIT = Credit("Fake", "nobody", "CC0", "https://example.org", "none")
FAKE = ExternalTeacher("fake", RATE, 2.0, ("Dog", "Cat"), 2, {}, CREDIT, open_fake)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """8 s, loud from the fifth to the seventh."""
    samples = np.full(8 * RATE, 0.125)
    samples[5 * RATE : 7 * RATE] = 0.5
    sf.write(tmp_path / "clip.wav", samples, RATE, "FLOAT")
    return tmp_path / "clip.wav"


def test_of_a_long_clip_the_surest_window_is_searched_for(clip: Path) -> None:
    heard = hear_clip(clip, FAKE)
    assert (heard.start_s, heard.end_s, heard.species) == (5.0, 7.0, "Cat")
    assert heard.probability == pytest.approx(0.5)
    assert heard.embedding.tolist() == [0.5, 0.5]
    assert heard.others == 6


def test_a_part_is_that_part(clip: Path) -> None:
    heard = hear_clip(clip, FAKE, 1.0, 3.0)
    assert (heard.start_s, heard.end_s, heard.others) == (1.0, 3.0, 0)
    assert heard.embedding.tolist() == [0.125, 0.125]


def test_what_is_shorter_than_a_window_is_repeated(clip: Path) -> None:
    heard = hear_clip(clip, FAKE, 4.5, 5.5)
    assert (heard.start_s, heard.end_s, heard.others) == (4.5, 5.5, 0)
    assert heard.embedding.tolist() == [0.125, 0.5]
    assert heard.probability == pytest.approx(0.3125)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ((8.0, None), "clip.wav: lasts 8.00 s: give --start and --end within it"),
        ((3.0, 3.0), "lasts 8.00 s"),
    ],
)
def test_no_such_part(clip: Path, part: tuple[float, float | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hear_clip(clip, FAKE, *part)


def test_what_is_no_recording_or_too_long(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"text\.wav: "):
        hear_clip(tmp_path / "text.wav", FAKE)
    with pytest.raises(ValueError, match="there is no such file"):
        hear_clip(tmp_path / "none.wav", FAKE)
    monkeypatch.setattr("birdcore.detection.clip.LONGEST_S", 5.0)
    with pytest.raises(ValueError, match="8 s are too much to search for: give --start and --end"):
        hear_clip(clip, FAKE)
