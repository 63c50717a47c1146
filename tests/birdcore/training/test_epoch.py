"""What an epoch draws from, and on which device."""

from typing import Any

import pytest
import torch

from birdcore.training import epoch


def test_a_cpu_has_one_generator_for_all() -> None:
    rng = torch.Generator()
    assert epoch.noise_generator(torch.device("cpu"), rng, 5) is rng


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_gpu_draws_noise_by_a_generator_of_its_own(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    made: list[Any] = []

    class Generator:
        def __init__(self, device: torch.device) -> None:
            made.append(device)

        def manual_seed(self, seed: int) -> "Generator":
            made.append(seed)
            return self

    rng = torch.Generator()
    monkeypatch.setattr(torch, "Generator", Generator)
    noise = epoch.noise_generator(torch.device(device), rng, 5)
    assert isinstance(noise, Generator)
    assert made == [torch.device(device), 5]


def test_derive_seed_differs_by_model_epoch_and_purpose() -> None:
    seeds = {
        epoch.derive_seed(seed, fold, stream, purpose)
        for seed in (0, 1)
        for fold in (0, 1)
        for stream in range(3)
        for purpose in ("", "noise")
    }
    assert len(seeds) == 4 * 3 * 2
