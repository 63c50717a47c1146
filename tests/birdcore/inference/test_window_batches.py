"""Batches of windows of several recordings."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from birdcore.inference import predict as room
from birdcore.inference.predict import (
    load_predictors,
    predict_cells,
    predict_recording,
    read_soundscapes,
)
from birdcore.inference.window_batches import Recording, batch_input, pack, run_ahead
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


def test_answers_come_in_order_however_long_each_takes() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number % 3 == 0 else 0)
        return number * number

    answers = list(run_ahead(slow_first, range(10), 3))
    assert answers == [(number, number * number) for number in range(10)]


def test_no_more_is_read_ahead_than_threads() -> None:
    read: list[int] = []

    def asked() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    for number, _ in run_ahead(abs, asked(), 2):
        assert len(read) <= number + 3


def test_a_reader_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    reader = run_ahead(abs, range(100), 2)
    assert next(reader) == (0, 0)
    reader.close()
    assert threading.active_count() == before


def test_a_fault_in_a_thread_reaches_the_reader() -> None:
    def fails(number: int) -> float:
        return 1 / (number - 2)

    with pytest.raises(ZeroDivisionError):
        list(run_ahead(fails, range(5), 2))
