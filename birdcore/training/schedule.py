"""The learning rate: up in a straight line, down along half a cosine."""

import math


def learning_rate(
    step: int, total_steps: int, warmup_steps: int, peak: float, final: float = 0.0
) -> float:
    """The rate of optimiser step `step`, counted from 0.

    Steps 0 to warmup_steps - 1 rise in equal parts, step warmup_steps has `peak`, the last step,
    total_steps - 1, and any later one has `final` (Loshchilov & Hutter 2017, one cycle).

    Raises ValueError unless 0 <= warmup_steps < total_steps and step >= 0.
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
