"""Engines by name."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from birdcore.inference.engine import open_engine
from birdcore.models.sed import load_model
from birdcore.store.artifact import Ref
from birdcore.store.store import Store


@pytest.mark.parametrize("name", ["auto", "torch"])
def test_engine_gives_the_models_probabilities(
    store: Store, model_of: Callable[..., Ref], name: str
) -> None:
    folder = store.get(model_of()).folder
    batch = torch.randn(2, 1, 32, 313, generator=torch.Generator().manual_seed(0))
    outputs = open_engine(folder, name)(batch)
    with torch.inference_mode():
        expected = load_model(folder)[0](batch)
    np.testing.assert_allclose(outputs.clipwise, expected.clipwise, atol=1e-5)
    framewise = expected.framewise_logit.sigmoid().transpose(1, 2)
    np.testing.assert_allclose(outputs.framewise, framewise, atol=1e-5)


def test_unknown_engine_is_refused_with_those_there_are(
    store: Store, model_of: Callable[..., Ref]
) -> None:
    with pytest.raises(ValueError, match="no engine is called 'tpu': choose one of auto, torch"):
        open_engine(store.get(model_of()).folder, "tpu")
