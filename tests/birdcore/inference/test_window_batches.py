"""Batches of windows of several recordings."""

from collections.abc import Callable

import numpy as np
import pytest

from birdcore.inference import predict as room
from birdcore.inference.predict import (
    load_predictors,
    predict_cells,
    predict_recording,
    read_soundscapes,
)
from birdcore.inference.window_batches import Recording, batch_input, pack
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

MadeMel = Callable[..., Artifact]
MadeModel = Callable[..., Ref]


def sound(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * 32_000))
    return 0.1 * samples * np.sin(np.arange(len(samples)) / 9_000)


@pytest.fixture
def mels(mel_of: MadeMel) -> Artifact:
    """Recordings of less than a window, of one, and of many."""
    return mel_of({str(i): sound(s, i) for i, s in enumerate((0.4, 5.0, 21.3, 1.0, 9.9))})


def test_packed_batches_are_full_and_in_order(
    store: Store, mels: Artifact, model_of: MadeModel
) -> None:
    spec = load_predictors([store.get(model_of(frames=63)).folder])[0].input_spec
    soundscapes = read_soundscapes(mels / "mel.parquet")
    recordings = [Recording(soundscapes, row) for row in range(5)]
    batches = list(pack(recordings, spec, 0.5, 8))
    sizes = [sum(piece.stop - piece.first for piece in batch) for batch in batches]
    assert sizes[:-1] == [8] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= 8
    pieces = [piece for batch in batches for piece in batch]
    assert any(len(batch) > 1 for batch in batches)
    for name in soundscapes.names:
        own = [piece for piece in pieces if piece.windows.cells.name == name]
        bounds = [0, *(piece.stop for piece in own)]
        assert [piece.first for piece in own] == bounds[:-1]
        assert bounds[-1] == len(own[0].windows.starts)
    assert [len(batch_input(batch, spec)) for batch in batches] == sizes


@pytest.mark.parametrize("at_once", [1, 5, 64])
def test_recordings_together_are_predicted_as_alone(
    store: Store,
    mels: Artifact,
    model_of: MadeModel,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    monkeypatch.setattr(room, "WINDOWS_AT_ONCE", at_once)
    # Two lengths of windows, which lie on grids of their own, and two models of one.
    folders = [store.get(model_of(i, frames=f)).folder for i, f in ((0, 63), (1, 157), (2, 63))]
    short, long, other = load_predictors(folders)
    members = [[short, long], [other]]
    soundscapes = read_soundscapes(mels / "mel.parquet")
    recordings = [Recording(soundscapes, row) for row in (4, 0, 2, 3, 1)]
    predicted = predict_cells(members, recordings, 0.7)
    for recording, (cells, blocks) in zip(recordings, predicted, strict=True):
        assert cells == recording.cells
        together = np.concatenate(list(blocks), axis=1)
        for member, predictors in enumerate(members):
            alone = [
                np.concatenate(list(predict_recording([one], recording, 0.7))) for one in predictors
            ]
            np.testing.assert_allclose(together[member], np.mean(alone, axis=0), atol=1e-6)
