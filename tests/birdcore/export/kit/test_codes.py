"""Codes and inputs of models are birdflow's."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from birdcore.export.front_end import front_end_arrays
from birdcore.export.kit import codes as kit
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import encode
from birdcore.features.stacked import Stacked
from birdcore.features.wave import WaveSpec
from birdcore.models.input import InputSpec, model_input

MODEL = {"top_db": 80.0}


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("how", ["zscore", "minmax", "bins", "none"])
def test_inputs_of_values_are_those_of_birdflow(how: Any, dtype: Any) -> None:
    spec = PcenSpec(n_mels=32)
    scale = spec.scale(dtype)
    reads = InputSpec(mel=spec, scale=scale, frames=40, normalise=how, top_db=80.0)
    values = np.random.default_rng(0).exponential(0.5, (40, 32)).astype(np.float32)
    codes = encode(values, 1, scale)
    features = Recordings(("a",), torch.from_numpy(codes), *torch.tensor([[0], [40]]), spec, scale)
    zero = torch.zeros(1, dtype=torch.long)
    expected = model_input(features.power(zero, zero, 40), reads).numpy()
    table = front_end_arrays(spec, scale)["power_table"]
    of_kit = kit.decode_power(codes, asdict(scale), table).T[None]
    found = kit.model_input(of_kit, of_kit[0, :, :1], MODEL | {"normalise": how}, 1, True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("how", ["zscore", "minmax", "bins", "none"])
def test_inputs_of_samples_are_those_of_birdflow(how: Any, dtype: Any) -> None:
    spec = WaveSpec(hop_length=32)
    scale = spec.scale(dtype)
    reads = InputSpec(mel=spec, scale=scale, frames=40, normalise=how, top_db=None)
    samples = np.random.default_rng(0).normal(0.0, 0.3, (40, 32)).astype(np.float32)
    samples[:4] = [[0.0], [-0.0], [1.5], [-1e-6]]
    codes = encode(samples, 1, scale)
    of_kit = kit.encode(samples, 1, asdict(scale))
    np.testing.assert_array_equal(of_kit, codes)
    assert of_kit.dtype == codes.dtype
    features = Recordings(("a",), torch.from_numpy(codes), *torch.tensor([[0], [40]]), spec, scale)
    zero = torch.zeros(1, dtype=torch.long)
    expected = model_input(features.power(zero, zero, 40), reads).numpy()
    table = front_end_arrays(spec, scale)["power_table"]
    waves = kit.decode_power(codes, asdict(scale), table).T[None]
    found = kit.model_input(waves, waves[0, :, :1], MODEL | {"normalise": how}, 1, True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


BOTH = Stacked((MelSpec(n_mels=16), CwtSpec(scales=16)))


@pytest.mark.parametrize("spec", [MelSpec(n_mels=32), BOTH], ids=["mel", "mel+cwt"])
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("how", ["zscore", "minmax", "bins", "none", "floor"])
def test_inputs_of_models_are_those_of_birdflow(how: str, dtype: str, spec: FrontEnd) -> None:
    scale = spec.scale("uint8" if dtype == "uint8" else "float16")
    reads = InputSpec(mel=spec, scale=scale, frames=40, normalise=how, top_db=80.0)
    energies = np.random.default_rng(0).exponential(0.01, (100, 32)).astype(np.float32)
    codes = encode(energies, 2, scale)
    starts = torch.tensor([[0], [100]])
    features = Recordings(("a",), torch.from_numpy(codes), *starts, spec, scale)
    offsets = torch.tensor([0, 30, 60])
    power = features.power(torch.zeros_like(offsets), offsets, 40, with_floor=how == "floor")
    expected = model_input(power, reads).numpy()

    table = front_end_arrays(spec, scale)["power_table"]
    frames = offsets.numpy()[:, None] + np.arange(40)
    of_kit = kit.decode_power(codes[frames], asdict(scale), table).transpose(0, 2, 1)
    floor = kit.decode_power(kit.lower_median(codes, 0), asdict(scale), table).T / np.log(2)
    found = kit.model_input(of_kit, floor, MODEL | {"normalise": how}, spec.input_channels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
