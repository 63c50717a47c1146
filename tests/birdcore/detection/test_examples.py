"""Which detections are shown, and their pictures and sounds."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from birdcore.detection.examples import (
    LONGEST_S,
    SIZE,
    Recording,
    choose_examples,
    draw_example,
)
from birdcore.detection.read import read_detections
from tests.birdcore.detection.test_activity import tables

rows = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("abcd"), st.integers(1, 99)), min_size=1
)


@given(rows, st.integers(1, 4), st.integers(2, 30))
def test_examples_are_the_surest_and_the_least_sure(
    rows: list[tuple[int, str, int]], each: int, most: int
) -> None:
    recordings = [
        ("", 60.0, [(n, code, c) for n, (file, code, c) in enumerate(rows) if file == number])
        for number in range(4)
    ]
    detections, _ = tables(recordings)
    codes = list(dict.fromkeys(detections["class"]))
    found = choose_examples(detections, codes, each, most)
    shown = [row for pair in found.values() for kind in pair for row in kind]
    assert len(shown) == len(set(shown)) <= most
    assert list(found) == codes[: len(found)]
    assert len(found) == min(len(codes), most // 2) or each > 1
    for code, (sure, least) in found.items():
        own = detections[detections["class"] == code]
        assert set(sure) | set(least) <= set(own.index)
        assert own.loc[sure[0], "confidence"] == own["confidence"].max()
        if least:
            assert own.loc[least[0], "confidence"] == own["confidence"].drop(sure).min()
        # No recording twice while another one has a detection that could be shown.
        files = own.loc[sure, "file"]
        assert files.nunique() == min(own["file"].nunique(), len(sure))
        assert (own.loc[sure, "confidence"].diff().dropna() <= 0).all()


def test_picture_and_sound_are_of_the_detection(detected: Any, tmp_path: Path) -> None:
    rate, time = 48_000, np.arange(10 * 48_000) / 48_000
    sound = 1e-4 * np.random.default_rng(0).normal(size=(len(time), 2))
    sound[(time >= 4) & (time < 5), 1] += 0.2 * np.sin(2 * np.pi * 9_000 * time[:rate])
    sf.write(tmp_path / "tone.wav", sound, rate)
    (tmp_path / "page").mkdir()
    recording = Recording("tone.wav", tmp_path / "tone.wav", 10.0, rate)
    example = draw_example(tmp_path, recording, 4.0, 5.0, 0.9)
    assert example.part == pytest.approx((1 / 3, 2 / 3))
    assert example.highest_hz == 12_000
    samples, played = sf.read(tmp_path / example.sound, always_2d=True)
    assert (samples.shape, played) == ((3 * rate, 2), rate)
    assert np.abs(samples).max() == pytest.approx(0.7, abs=1e-3)
    picture = Image.open(io.BytesIO((tmp_path / example.picture).read_bytes())).convert("L")
    assert picture.size == SIZE
    seen = np.asarray(picture)
    row, column = np.unravel_index(seen.argmin(), seen.shape)
    assert row / SIZE[1] == pytest.approx(1 - 9_000 / 12_000, abs=0.02)
    assert 1 / 3 <= column / SIZE[0] <= 2 / 3


@pytest.mark.parametrize(
    ("start_s", "end_s", "length_s"), [(0.0, 0.1, 1.55), (9.9, 10.0, 1.55), (0.0, 10.0, LONGEST_S)]
)
def test_piece_stays_within_the_recording(
    shared_data: Path, tmp_path: Path, start_s: float, end_s: float, length_s: float
) -> None:
    path = next((shared_data / "field" / "recorder-day").iterdir())
    (tmp_path / "page").mkdir()
    example = draw_example(tmp_path, Recording("x", path, 10.0, 22_000), start_s, end_s, 0.5)
    samples, rate = sf.read(tmp_path / example.sound)
    assert rate == 22_000
    assert len(samples) / rate == pytest.approx(length_s)
    first, last = (part * length_s + max(start_s - 1.45, 0.0) for part in example.part)
    assert (first, last) == pytest.approx((start_s, end_s))


def test_shortest_recording_is_drawn(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "field" / "recorders" / "veryshort.wav"
    (tmp_path / "page").mkdir()
    example = draw_example(tmp_path, Recording("x", path, 0.1, 44_100), 0.0, 0.1, 0.5)
    assert example.reason == ""
    assert (tmp_path / example.picture).is_file()


def test_rows_of_a_table_are_chosen(detected: Any) -> None:
    out = detected({"a.wav": [(0, 1, 0, 0.9), (1, 2, 0, 0.3), (2, 3, 1, 0.5)]})
    found = choose_examples(read_detections(out), ["eurbla", "comchi1"])
    assert found == {"eurbla": ([0], [1]), "comchi1": ([2], [])}
