import io

import numpy as np
from PIL import Image

from birdcore.pages.picture import HEIGHT, WIDTH, spectrogram_png


def drawn(decibels: np.ndarray) -> np.ndarray:
    picture = Image.open(io.BytesIO(spectrogram_png(decibels.astype(np.float32))))
    assert picture.format == "PNG"
    return np.asarray(picture.convert("L"))


def test_loud_is_dark_and_low_notes_are_below() -> None:
    decibels = np.full((100, 32), -60.0)
    decibels[40:60, 3] = 0.0
    seen = drawn(decibels)
    assert seen.shape == (32, 100)
    assert (seen[32 - 1 - 3, 40:60] == 0).all()
    assert (np.delete(seen, 32 - 1 - 3, axis=0) == 255).all()


def test_a_long_one_is_made_small() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(-50, 5, (4000, 256))
    assert drawn(noise).shape == (HEIGHT, WIDTH)
    assert len(spectrogram_png(noise.astype(np.float32))) < 30_000


def test_silence_is_white() -> None:
    assert (drawn(np.full((10, 8), -70.0)) == 255).all()
    assert drawn(np.full((1, 8), -70.0)).shape == (8, 1)
