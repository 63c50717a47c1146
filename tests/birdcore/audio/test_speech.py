"""Lockstep against the package itself: its model chunk by chunk, its get_speech_timestamps."""

import csv
import math
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.audio.decode import decode
from birdcore.audio.resample import SPEECH_RATE, resample
from birdcore.audio.silero import (
    CHUNK,
    CHUNKS_AT_ONCE,
    SileroModel,
    Waveform,
    silero_model,
    speech_probabilities,
)
from birdcore.audio.speech import SpeechSettings, speech_intervals


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return silero_model()


def chunk_by_chunk(model: SileroModel, waveform: Waveform) -> np.ndarray:
    model.reset_states()
    padded = np.pad(waveform, (0, -len(waveform) % CHUNK)).reshape(-1, CHUNK)
    with torch.inference_mode():
        chunks = torch.from_numpy(padded).unbind()
        return np.array([model(chunk, SPEECH_RATE).item() for chunk in chunks])


def timestamps(model: object, waveform: Waveform, chosen: SpeechSettings) -> list:
    from silero_vad import get_speech_timestamps

    found = get_speech_timestamps(torch.from_numpy(waveform), model, **asdict(chosen))
    return [(speech["start"] / SPEECH_RATE, speech["end"] / SPEECH_RATE) for speech in found]


def load(path: Path) -> Waveform:
    audio = decode(path)
    return resample(audio.samples, audio.rate, SPEECH_RATE)


def spoken(shared_data: Path) -> dict[Path, tuple[float, float]]:
    """Six recordings that somebody speaks in, each of another species: from when to when."""
    folder = shared_data / "birdclef-mini"
    by_species = {}
    with (folder / "speech_truth.csv").open() as file:
        for row in csv.DictReader(file):
            path = folder / "train_audio" / row["filename"]
            by_species[path.parent] = path, (float(row["start"]), float(row["end"]))
    return dict(list(by_species.values())[:6])


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_speech_probabilities_equal_the_package(model: SileroModel, batch: int) -> None:
    generator = np.random.default_rng(0)
    lengths = [0, 1, 511, 512, 513, 5_000, 5_120, 40_000, 40_000, 70_001]
    waveforms = [(0.1 * generator.standard_normal(n)).astype(np.float32) for n in lengths]
    waveforms.append(np.zeros(3_000, np.float32))
    found = speech_probabilities(waveforms, batch)
    for waveform, probabilities in zip(waveforms, found, strict=True):
        assert probabilities.shape == (math.ceil(len(waveform) / CHUNK),)
        assert probabilities.dtype == np.float32
        if len(waveform):
            expected = chunk_by_chunk(model, waveform)
            np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_speech_probabilities_carry_state_across_blocks(model: SileroModel) -> None:
    """One recording longer than a block, loud at the seam."""
    time = np.arange((CHUNKS_AT_ONCE + 40) * CHUNK) / SPEECH_RATE
    waveform = (0.3 * np.sin(2 * np.pi * 300 * time) * (1 + np.sin(9 * time))).astype(np.float32)
    (found,) = speech_probabilities([waveform])
    expected = chunk_by_chunk(model, waveform)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_speech_probabilities_do_not_depend_on_the_batch() -> None:
    generator = np.random.default_rng(1)
    waveforms = [generator.standard_normal(n).astype(np.float32) for n in (9_000, 20_000, 3_000)]
    together = speech_probabilities(waveforms)
    for waveform, probabilities in zip(waveforms, together, strict=True):
        (alone,) = speech_probabilities([waveform])
        np.testing.assert_allclose(probabilities, alone, rtol=0, atol=1e-6)


def test_speech_intervals_of_real_recordings_equal_the_package(
    shared_data: Path, model: SileroModel
) -> None:
    """The tolerance is float32's: one chunk alone and many are summed in different orders."""
    waveforms = [load(shared_data / "speech/sample.flac")]
    for path, (start, end) in spoken(shared_data).items():
        around = slice(int(max(0, start - 3) * SPEECH_RATE), int((end + 3) * SPEECH_RATE))
        waveforms.append(load(path)[around])
    chosen = SpeechSettings()
    for waveform, probabilities in zip(waveforms, speech_probabilities(waveforms), strict=True):
        expected = chunk_by_chunk(model, waveform)
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=5e-5)
        intervals = speech_intervals(probabilities, len(waveform), chosen)
        assert intervals, "all of them hold speech"
        assert intervals == timestamps(model, waveform, chosen)


def test_speech_intervals_cover_known_speech(shared_data: Path) -> None:
    truth = spoken(shared_data)
    waveforms = [load(path) for path in truth]
    for (start, end), waveform, probabilities in zip(
        truth.values(), waveforms, speech_probabilities(waveforms), strict=True
    ):
        heard = speech_intervals(probabilities, len(waveform), SpeechSettings())
        overlap = sum(max(0.0, min(end, b) - max(start, a)) for a, b in heard)
        assert overlap > 0.5 * (end - start)


class Spelled:
    """A model that gives the probabilities it was told."""

    def __init__(self, probabilities: list[float]) -> None:
        self.probabilities = iter(probabilities)

    def __call__(self, chunk: torch.Tensor, rate: int) -> torch.Tensor:
        return torch.tensor([[next(self.probabilities)]])

    def reset_states(self) -> None: ...


@settings(deadline=None, max_examples=200)
@given(
    runs=st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(1, 12)), max_size=25),
    missing=st.integers(0, CHUNK - 1),
    chosen=st.builds(
        SpeechSettings,
        threshold=st.floats(0, 1),
        neg_threshold=st.none() | st.floats(0, 1),
        min_speech_duration_ms=st.integers(0, 600),
        max_speech_duration_s=st.just(math.inf) | st.floats(0.3, 5),
        min_silence_duration_ms=st.integers(0, 400),
        speech_pad_ms=st.integers(0, 100),
    ),
)
def test_speech_intervals_of_any_probabilities_equal_the_package(
    runs: list[tuple[float, int]], missing: int, chosen: SpeechSettings
) -> None:
    probabilities = [probability for probability, times in runs for _ in range(times)]
    samples = max(0, len(probabilities) * CHUNK - missing)
    expected = timestamps(Spelled(probabilities), np.zeros(samples, np.float32), chosen)
    found = speech_intervals(np.array(probabilities, np.float32), samples, chosen)
    assert found == expected


def test_speech_settings_have_the_defaults_of_the_package() -> None:
    import inspect

    from silero_vad import get_speech_timestamps

    theirs = inspect.signature(get_speech_timestamps).parameters
    assert {f.name: f.default for f in fields(SpeechSettings)} == {
        f.name: theirs[f.name].default for f in fields(SpeechSettings)
    }


def test_speech_probabilities_leave_threads_and_random_state_of_torch() -> None:
    """In a process of its own, since silero_vad does its harm at the first import only."""
    script = (
        "import numpy as np, torch; torch.set_num_threads(3); torch.manual_seed(0)\n"
        "from birdcore.audio.silero import speech_probabilities\n"
        "from birdcore.audio.speech import SpeechSettings, speech_intervals\n"
        "before = torch.get_rng_state()\n"
        "speech_probabilities([np.zeros(600, np.float32)])\n"
        "speech_intervals(np.zeros(2, np.float32), 600, SpeechSettings())\n"
        "assert torch.equal(before, torch.get_rng_state())\n"
        "assert torch.get_num_threads() == 3, torch.get_num_threads()\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": "."},
    )


def test_speech_intervals_refuse_probabilities_of_another_length() -> None:
    with pytest.raises(ValueError, match="don't fit"):
        speech_intervals(np.zeros(3, np.float32), 512, SpeechSettings())
    assert speech_probabilities([]) == []
