"""The exact linear probe against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from birdcore.training.logistic import fit_logistic


def problem(rows: int = 200, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(rows, width, generator=rng)
    logits = features @ torch.randn(width, 3, generator=rng) + torch.tensor([0.0, -1.0, 2.0])
    noise = torch.rand(rows, 3, generator=rng)
    return features, (noise < logits.sigmoid()).float()


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_each_class_is_as_scikit_learn_has_it(penalty: float) -> None:
    features, targets = problem()
    weights = torch.rand(targets.shape, generator=torch.Generator().manual_seed(1))
    weights[:20, 1] = 0.0  # not known there
    found = fit_logistic(features, targets, weights, penalty)
    # In float64: in float32 scikit-learn's own is 2e-4 off on some processors. Ours is as near as
    # a gradient of 1e-6 is, which the penalty alone holds in the flattest direction.
    atol = max(1e-4, 1e-6 / penalty)
    exact, of_row = features.double().numpy(), weights.double()
    for k in range(3):
        model = LogisticRegression(
            C=1 / (penalty * float(of_row[:, k].sum())), tol=1e-10, max_iter=5000
        )
        model.fit(exact, targets[:, k].numpy(), of_row[:, k].numpy())
        np.testing.assert_allclose(found.weights[k].numpy(), model.coef_[0], atol=atol)
        np.testing.assert_allclose(found.bias[k].item(), model.intercept_[0], atol=atol)


def test_soft_targets_are_two_weighted_rows() -> None:
    features, _ = problem(50)
    soft = torch.rand(50, 1, generator=torch.Generator().manual_seed(2))
    found = fit_logistic(features, soft, torch.ones(50, 1), 0.05)
    both = torch.cat([torch.ones(50, 1), torch.zeros(50, 1)])
    again = fit_logistic(torch.cat([features, features]), both, torch.cat([soft, 1 - soft]), 0.05)
    torch.testing.assert_close(found.weights, again.weights, atol=1e-4, rtol=1e-3)


def test_an_offset_that_says_it_all_leaves_nothing_to_learn() -> None:
    features, _ = problem(400)
    offsets = torch.randn(400, 1, generator=torch.Generator().manual_seed(3))
    found = fit_logistic(features, offsets.sigmoid(), torch.ones(400, 1), 0.01, offsets)
    assert found.weights.abs().max() < 1e-3
    assert found.bias.abs().max() < 1e-3


def test_without_a_penalty_it_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        fit_logistic(*problem(), torch.ones(200, 3), 0.0)
