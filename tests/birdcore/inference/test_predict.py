"""Listening: framewise probabilities of recordings of any length."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from birdcore.config import Output
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Soundscapes, read_mels
from birdcore.inference import predict as room
from birdcore.inference.predict import (
    Predictor,
    load_predictors,
    predict_recording,
    read_soundscapes,
)
from birdcore.inference.window_batches import CELL_FRAMES, Recording
from birdcore.inference.windows import window_starts
from birdcore.models.input import model_input
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

MadeMel = Callable[..., Artifact]
MadeModel = Callable[..., Ref]
CPU = torch.device("cpu")


def heard(
    predictor: Predictor,
    soundscapes: Soundscapes,
    row: int,
    step_s: float,
    output: Output = "framewise",
) -> np.ndarray:
    recording = Recording(soundscapes, row)
    return np.concatenate(list(predict_recording([predictor], recording, step_s, output)))


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose loudness changes, so that frames differ."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * 32_000))
    return 0.1 * samples * np.sin(np.arange(len(samples)) / 9_000)


@pytest.mark.parametrize("seconds", [1 / 32_000, 0.7, 3.0, 5.0, 5.05, 12.3])
def test_every_recording_is_heard_to_its_end(
    store: Store, mel_of: MadeMel, model_of: MadeModel, seconds: float
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    soundscapes = read_soundscapes(mel_of({"a": sound(seconds)}) / "mel.parquet")
    said = heard(predictor, soundscapes, 0, 2.5)
    frames = int(soundscapes.lengths[0])
    assert said.shape == (-(-frames // CELL_FRAMES), 3)
    assert ((said > 0) & (said < 1)).all()
    assert Recording(soundscapes).cells.duration_s == pytest.approx(seconds, abs=0.017)


def test_clipwise_a_cell_is_the_mean_of_what_the_windows_over_it_are_as_a_whole(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    mel = mel_of({"a": sound(7.5)}) / "mel.parquet"
    soundscapes = read_soundscapes(mel)
    said = heard(predictor, soundscapes, 0, 2.5, "clipwise")
    starts = window_starts(int(soundscapes.lengths[0]), 313, 156)
    assert len(starts) == 2
    whole = read_mels([mel], CPU)
    with torch.inference_mode():
        power = whole.power(torch.zeros(2, dtype=torch.long), torch.from_numpy(starts), 313)
        first, last = predictor.engine.model(
            model_input(power, predictor.input_spec)
        ).clipwise.numpy()
    np.testing.assert_allclose(said[0], first, rtol=1e-5)
    np.testing.assert_allclose(said[-1], last, rtol=1e-5)
    np.testing.assert_allclose(said[len(said) // 2], (first + last) / 2, rtol=1e-5)
    assert not np.allclose(said, heard(predictor, soundscapes, 0, 2.5))


def test_both_is_the_mean_of_a_window_as_a_whole_and_its_frames(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    soundscapes = read_soundscapes(mel_of({"a": sound(12.3)}) / "mel.parquet")
    both = heard(predictor, soundscapes, 0, 1.25, "both")
    clip, frames = (heard(predictor, soundscapes, 0, 1.25, o) for o in ("clipwise", "framewise"))
    np.testing.assert_allclose(both, (clip + frames) / 2, atol=1e-6)
    assert np.abs(clip - frames).max() > 1e-2


def test_over_the_floor_a_quieter_recording_is_heard_alike(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    input_spec = predictor.input_spec.model_copy(update={"normalise": "floor"})
    predictor = replace(predictor, input_spec=input_spec)
    loud = sound(9.0)
    mel = mel_of({"a": loud, "b": 0.1 * loud}) / "mel.parquet"
    first, second = (heard(predictor, read_soundscapes(mel), row, 2.5) for row in (0, 1))
    np.testing.assert_allclose(first, second, atol=0.01)
    assert (
        np.abs(
            first
            - heard(
                replace(
                    predictor,
                    input_spec=predictor.input_spec.model_copy(update={"normalise": "none"}),
                ),
                read_soundscapes(mel),
                0,
                2.5,
            )
        ).max()
        > 0.001
    )


@pytest.mark.parametrize("output", ["framewise", "clipwise", "both"])
def test_a_longer_step_than_a_window_leaves_no_gap(
    store: Store, mel_of: MadeMel, model_of: MadeModel, output: Output
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    soundscapes = read_soundscapes(mel_of({"a": sound(15.1)}) / "mel.parquet")
    window_s = 313 / soundscapes.spec.frame_rate
    far = heard(predictor, soundscapes, 0, 99.0, output)
    np.testing.assert_array_equal(far, heard(predictor, soundscapes, 0, window_s, output))
    assert np.abs(far - heard(predictor, soundscapes, 0, 0.5, output)).max() > 1e-3


def test_cells_are_the_mean_of_the_windows_that_cover_them(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    mel = mel_of({"a": sound(11.0), "b": sound(8.2, 1)}) / "mel.parquet"
    soundscapes, whole = read_soundscapes(mel), read_mels([mel], CPU)
    said = heard(predictor, soundscapes, 1, 2.0)
    assert said.std(axis=0).min() > 1e-3
    frames, window = int(soundscapes.lengths[1]), 313
    starts = window_starts(frames, window, 125)
    assert len(starts) > 1
    sums, counts = np.zeros_like(said), np.zeros(len(said))
    with torch.inference_mode():
        for start in starts.tolist():
            power = whole.power(torch.tensor([1]), torch.tensor([start]), window)
            output = predictor.engine.model(model_input(power, predictor.input_spec))
            probabilities = output.framewise_logit.sigmoid()[0].T.numpy()
            for cell in range(len(said)):
                centre = (cell * CELL_FRAMES + min(cell * CELL_FRAMES + CELL_FRAMES, frames)) / 2
                inside = (centre - start) / window
                if 0 <= inside < 1:
                    sums[cell] += probabilities[int(inside * len(probabilities))]
                    counts[cell] += 1
    np.testing.assert_allclose(said, sums / counts[:, None], atol=1e-5)


def test_what_one_recording_holds_does_not_change_another(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    alone = read_soundscapes(mel_of({"b": sound(7.0, 1)}) / "mel.parquet")
    among = read_soundscapes(
        mel_of({"a": sound(6.0), "b": sound(7.0, 1), "c": sound(3.0, 2)}) / "mel.parquet"
    )
    np.testing.assert_allclose(
        heard(predictor, alone, 0, 2.5), heard(predictor, among, 1, 2.5), atol=1e-6
    )


def test_many_windows_run_in_batches(store: Store, mel_of: MadeMel, model_of: MadeModel) -> None:
    (predictor,) = load_predictors([store.get(model_of(frames=63)).folder])
    soundscapes = read_soundscapes(mel_of({"a": sound(20.0)}) / "mel.parquet")
    assert len(window_starts(int(soundscapes.lengths[0]), 63, 12)) > 64
    said = heard(predictor, soundscapes, 0, 0.2)
    cells = Recording(soundscapes).cells
    assert said.shape == (cells.count, 3) == (157, 3)
    assert cells.rate == pytest.approx(62.5 / 8)


@pytest.mark.parametrize("normalise", ["zscore", "floor"])
@pytest.mark.parametrize(("batch", "step_s"), [(1, 2.5), (3, 0.1), (7, 1.3)])
def test_blocks_change_nothing_but_a_sum_s_last_bit(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    step_s: float,
    normalise: str,
) -> None:
    (predictor,) = load_predictors([store.get(model_of(frames=63)).folder])
    input_spec = predictor.input_spec.model_copy(update={"normalise": normalise})
    predictor = replace(predictor, input_spec=input_spec)
    mel = mel_of({"a": sound(3.0), "b": sound(20.7, 1)}) / "mel.parquet"
    soundscapes = read_soundscapes(mel)
    whole = heard(predictor, soundscapes, 1, step_s)
    np.testing.assert_array_equal(heard(predictor, read_mels([mel], CPU), 1, step_s), whole)
    monkeypatch.setattr(room, "WINDOWS_AT_ONCE", batch)
    monkeypatch.setattr(room, "CELLS_AT_ONCE", 11)
    np.testing.assert_allclose(heard(predictor, soundscapes, 1, step_s), whole, atol=1e-6)


def test_a_silent_soundscape_gets_probabilities(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    (predictor,) = load_predictors([store.get(model_of()).folder])
    soundscapes = read_soundscapes(mel_of({"a": np.zeros(200_000)}) / "mel.parquet")
    assert np.isfinite(heard(predictor, soundscapes, 0, 2.5)).all()


def test_a_model_of_another_mel_is_refused(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    other = MelSpec(n_mels=32, f_max=15_000.0)
    (predictor,) = load_predictors([store.get(model_of(spec=other)).folder])
    soundscapes = read_soundscapes(mel_of({"a": sound(5)}) / "mel.parquet")
    with pytest.raises(ValueError, match="another mel"):
        heard(predictor, soundscapes, 0, 2.5)
