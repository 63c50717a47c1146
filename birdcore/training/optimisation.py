"""How weights change over a training: the learning rate's schedule, and averages of weights.

An exponential moving average is often the better model and always the more stable one; the mean of
several epochs' weights costs nothing in prediction.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def learning_rate(
    step: int, total_steps: int, warmup_steps: int, peak: float, final: float = 0.0
) -> float:
    """Learning rate of one optimiser step: linear warm-up, then half a cosine.

    After Loshchilov and Hutter 2017 (one cycle). Steps 0 to warmup_steps - 1 rise in equal parts,
    step warmup_steps has `peak`, the last step, total_steps - 1, and any later one has `final`.

    Args:
        step: counted from 0.
        total_steps: of the cycle.
        warmup_steps: of the cycle.
        peak: highest rate.
        final: last rate.

    Raises:
        ValueError: unless 0 <= warmup_steps < total_steps and step >= 0.

    Example:
        >>> [round(learning_rate(step, 5, 1, peak=1.0), 3) for step in (0, 1, 3)]
        [0.5, 1.0, 0.25]
    """
    if step < 0 or not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"step {step} of {total_steps} with {warmup_steps} of warm-up: "
            "warm-up must be shorter than the training"
        )
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps))
    return final + (peak - final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def ema(model: nn.Module, decay: float = 0.999) -> AveragedModel:
    """An exponential moving average of a model's weights (Polyak averaging).

    torch's `AveragedModel` keeps it; ours is the decay, which starts small so that the random
    initial weights soon count for nothing. Batch-norm statistics are averaged like weights, since
    averaged weights have other activations than the last step's; counters are copied.

    Args:
        model: left as it is.
        decay: update n, from 0, keeps min(decay, (1 + n) / (10 + n)) of the average.

    Returns:
        A frozen model in eval mode on the same device. Call `.update_parameters(model)` after each
        optimiser step; `.module` is the averaged model. The first update is a copy.

    Raises:
        ValueError: the decay is not in 0 <= decay < 1.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema decay {decay}: choose 0 <= decay < 1, such as 0.999")

    @torch.no_grad()
    def average(averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)
            return
        n = torch.as_tensor(updates)
        keep = ((1 + n) / (10 + n)).clamp_max(decay).to(averaged[0].dtype)
        torch._foreach_sub_(averaged, current)
        torch._foreach_mul_(averaged, keep)
        torch._foreach_add_(averaged, current)

    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    averaged.requires_grad_(False)
    return averaged.eval()


def average_checkpoints(checkpoints: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several epochs' weights ("model soup", Wortsman et al. 2022; 12th place 2025).

    Batch-norm statistics are averaged like weights; counters are those of the first.

    Args:
        checkpoints: state dicts of one model, one or more.

    Returns:
        A state dict on the device of the first.
    """
    return {
        name: torch.stack([weights[name].to(value.device) for weights in checkpoints]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in checkpoints[0].items()
    }
