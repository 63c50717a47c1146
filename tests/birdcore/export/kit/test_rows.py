"""What is done with rows is what birdflow does."""

import numpy as np
import pytest

from birdcore.config import Predict
from birdcore.export.kit import rows as kit
from birdcore.inference.smooth import smooth_recording
from birdcore.inference.weights import blend


@pytest.mark.parametrize(
    "settings",
    [
        Predict(),
        Predict(gaussian=0.8),
        Predict(neighbours=True, file_maximum=0.2),
        Predict(gaussian=1.5, delta_shift=0.5, neighbours=True, file_maximum=0.1),
    ],
)
@pytest.mark.parametrize("rows", [1, 3, 12])
def test_smoothing_is_that_of_birdflow(settings: Predict, rows: int) -> None:
    table = np.random.default_rng(rows).random((rows, 4))
    expected = smooth_recording(table, settings)
    np.testing.assert_allclose(kit.smooth(table, settings.model_dump()), expected, atol=1e-12)


@pytest.mark.parametrize("how", ["mean", "power", "rank"])
@pytest.mark.parametrize("weights", [[0.25, 0.75], [[0.5, 0.0, 1.0], [0.5, 1.0, 0.0]]])
def test_blends_are_those_of_birdflow(how: str, weights: list) -> None:
    tables = np.random.default_rng(0).random((2, 9, 3)).round(1)  # with ties
    config = {"blend": how, "power": 2.0, "weights": dict(zip("ab", weights, strict=True))}
    found = kit.blend(dict(zip("ab", tables, strict=True)), config)
    np.testing.assert_allclose(found, blend(tables, weights, how, 2.0), atol=1e-12)
