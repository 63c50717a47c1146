"""An exponential moving average of the weights, often the better model and always the calmer one.

torch's own `AveragedModel` does the keeping; ours is the decay, which starts small so that the
average does not drag the random beginning along. Batch-norm statistics are averaged like weights:
averaged weights see other activations than the last step's. Counters are copied.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def ema(model: nn.Module, decay: float = 0.999) -> AveragedModel:
    """A frozen average of `model`, in eval mode, beside it on its device.

    `.update_parameters(model)` after each optimiser step; `.module` is the averaged model;
    `.state_dict()` resumes it. Update n, from 0, keeps min(decay, (1 + n) / (10 + n)) of the
    average, and the first one is a copy.

    Raises ValueError for a decay outside 0 to 1.
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
