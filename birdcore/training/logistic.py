"""The exact optimum of a linear probe: L2-regularised logistic regression of all classes at once.

It has no rate, no epochs and no seed, so it is what other probes are compared with. Classes do not
share anything, so their sum is one convex function, which L-BFGS minimises over all of them with
two products of matrices a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

STEPS = 300


class Logistic(NamedTuple):
    """weights (K, D), bias (K,), and the mean loss of the classes, without the penalty."""

    weights: Tensor
    bias: Tensor
    loss: float


def fit_logistic(
    features: Tensor,
    targets: Tensor,
    weights: Tensor,
    penalty: float,
    offsets: Tensor | None = None,
    steps: int = STEPS,
) -> Logistic:
    """Minimise, for each class, the weighted mean of binary cross-entropies plus
    penalty / 2 · |w|²; the bias is not penalised.

    As scikit-learn's LogisticRegression with C = 1 / (penalty · Σ weights).

    Args:
        features: (S, D), about standardised.
        targets: (S, K) in 0 to 1.
        weights: Of each row in each class (S, K); 0 where a target is not known.
        penalty: Above 0, or classes that can be told apart have no optimum.
        offsets: Added to the logits (S, K); 0 if not given.
        steps: At most so many of L-BFGS.

    Raises:
        ValueError: The penalty is not above 0.
    """
    if not penalty > 0:
        raise ValueError(f"a penalty of {penalty:g}: the optimum is only there above 0")
    total = weights.sum(dim=0).clamp(min=1e-12)
    w = torch.zeros(targets.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [w, bias], max_iter=steps, tolerance_grad=1e-7, tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def by_class() -> Tensor:
        logits = torch.addmm(bias, features, w.T)
        if offsets is not None:
            logits = logits + offsets
        terms = binary_cross_entropy_with_logits(logits, targets, weights, reduction="none")
        return terms.sum(dim=0) / total

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = by_class().sum() + penalty / 2 * w.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        return Logistic(w.detach(), bias.detach(), float(by_class().mean()))
