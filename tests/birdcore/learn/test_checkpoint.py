"""Which epochs are remembered, and what becomes of them."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD

from birdcore.learn.checkpoint import Training, keep_best, soup


def trained(aucs: list[float | None], count: int) -> list[dict[str, object]]:
    """The best epochs of a training whose only weight is the epoch's number."""
    model = nn.BatchNorm1d(1)
    training = Training(model, None, SGD(model.parameters(), lr=1.0))  # type: ignore[arg-type]
    for epoch, auc in enumerate(aucs, 1):
        nn.init.constant_(model.weight, float(epoch))
        model.num_batches_tracked.fill_(epoch)
        training.epoch = epoch
        keep_best(training, auc, count)
    return training.best


@given(
    st.lists(st.one_of(st.none(), st.sampled_from([0.5, 0.6, 0.7])), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_the_best_epochs_are_kept_and_of_equals_the_latest(
    aucs: list[float | None], count: int
) -> None:
    best = [one["epoch"] for one in trained(aucs, count)]
    order = sorted(
        range(1, len(aucs) + 1),
        key=lambda epoch: (-1.0 if aucs[epoch - 1] is None else aucs[epoch - 1], epoch),
        reverse=True,
    )
    assert best == order[:count]


def test_a_soup_is_the_mean_of_weights_with_the_counters_of_the_best() -> None:
    mixed = soup(trained([0.5, 0.9, 0.8, 0.7], 3))
    assert mixed["weight"].item() == 3.0  # of epochs 2, 3 and 4
    assert mixed["num_batches_tracked"].item() == 2


def test_a_soup_of_one_epoch_is_that_epoch() -> None:
    (best,) = trained([0.5, 0.9, 0.8], 1)
    assert torch.equal(soup([best])["weight"], torch.tensor([2.0]))
