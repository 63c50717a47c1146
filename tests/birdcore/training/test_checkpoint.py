"""Which epochs are remembered, what becomes of them, and what is read again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, AdamW

from birdcore.store.files import CHECKPOINTS, file_sha256
from birdcore.training.checkpoint import (
    DAMAGED,
    Training,
    keep_best,
    load_checkpoint,
    save_checkpoint,
)
from birdcore.training.optimisation import average_checkpoints, ema


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


def weights_of(best: list[dict[str, Any]]) -> list[dict[str, torch.Tensor]]:
    return [epoch["weights"] for epoch in best]


def test_average_is_the_mean_of_weights_with_the_counters_of_the_first() -> None:
    mixed = average_checkpoints(weights_of(trained([0.5, 0.9, 0.8, 0.7], 3)))
    assert mixed["weight"].item() == 3.0  # of epochs 2, 3 and 4
    assert mixed["num_batches_tracked"].item() == 2


def test_average_of_one_checkpoint_is_that_checkpoint() -> None:
    (best,) = trained([0.5, 0.9, 0.8], 1)
    assert torch.equal(average_checkpoints([best["weights"]])["weight"], torch.tensor([2.0]))


def begun(device: str = "cpu", key: str = "k", width: int = 3) -> Training:
    """A training with an average and an optimizer that remembers, two epochs old."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2)).to(device)
    average = ema(model, 0.9)
    training = Training(model, average, AdamW(model.parameters()), key)  # type: ignore[arg-type]
    for epoch in (1, 2):
        model(torch.randn(4, width, device=device)).sum().backward()
        training.optimizer.step()
        average.update_parameters(model)
        training.epoch = epoch
        keep_best(training, epoch / 10, 3)
        training.history.append({"epoch": epoch - 1})
    return training


def fresh(device: str = "cpu", **settings: Any) -> Training:
    model = begun(device, **settings)
    return Training(model.model, ema(model.model, 0.9), AdamW(model.model.parameters()), model.key)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_all_that_is_read_again_is_on_the_device_of_the_model(tmp_path: Path) -> None:
    """`meta` stands for a GPU: tensors there do not mix with those of a CPU either."""
    save_checkpoint(tmp_path, begun())
    training = fresh("meta")
    assert load_checkpoint(tmp_path, training) == []
    training.epoch += 1
    keep_best(training, 0.15, 3)
    assert [one["epoch"] for one in training.best] == [2, 3, 1]
    assert {value.device.type for one in training.best for value in one["weights"].values()} == {
        "meta"
    }
    averaged = average_checkpoints(weights_of(training.best))
    assert {value.device.type for value in averaged.values()} == {"meta"}
    training.evaluated.load_state_dict(averaged)
    moments = [state["exp_avg"].device.type for state in training.optimizer.state.values()]
    assert set(moments) == {"meta"}


def test_average_is_on_the_device_of_the_first_checkpoint() -> None:
    best = [{"weight": torch.zeros(2, device=device)} for device in ("meta", "cpu")]
    assert average_checkpoints(best)["weight"].device.type == "meta"


@pytest.mark.parametrize("other", [{"key": "another"}, {"width": 4}])
def test_a_checkpoint_that_does_not_fit_changes_nothing(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    save_checkpoint(tmp_path, begun(**other))
    (path,) = tmp_path.glob(CHECKPOINTS)
    training, untouched = fresh(), fresh()
    assert load_checkpoint(tmp_path, training) == [path.name]
    assert [p.name for p in tmp_path.iterdir()] == [path.name + DAMAGED]
    for own, as_it_was in zip(
        training.model.state_dict().values(), untouched.model.state_dict().values(), strict=True
    ):
        assert torch.equal(own, as_it_was)
    assert (training.epoch, training.best, training.history) == (0, [], [])


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"key": "k"},
        {"key": "k", "epoch": "2", "history": []},
        {"key": "k", "epoch": 1, "history": [{}], "model": 5},
    ],
)
def test_other_content_under_a_right_sum_is_set_aside(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x")
    path = tmp_path / f"checkpoint-00009-{file_sha256(tmp_path / 'x')}.pt"
    (tmp_path / "x").rename(path)
    save_checkpoint(tmp_path, begun())
    training = fresh()
    assert load_checkpoint(tmp_path, training) == [path.name]
    assert training.epoch == 2


def flip(at: float) -> Callable[[bytes], bytes]:
    def flipped(content: bytes) -> bytes:
        place = min(int(at * len(content)), len(content) - 1)
        return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]

    return flipped


@pytest.mark.parametrize(
    "harm",
    [
        *(flip(at) for at in (0.0, 0.001, 0.3, 0.5, 0.9, 0.999, 1.0)),
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"more",
        lambda content: b"",
        lambda content: b"no checkpoint at all",
    ],
)
def test_damaged_checkpoint_is_set_aside_for_the_one_before(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    training = begun()
    save_checkpoint(tmp_path, training)
    training.epoch = 3
    save_checkpoint(tmp_path, training)
    first, last = sorted(tmp_path.glob(CHECKPOINTS))
    last.write_bytes(harm(last.read_bytes()))
    resumed = fresh()
    assert load_checkpoint(tmp_path, resumed) == [last.name]
    assert resumed.epoch == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, last.name + DAMAGED]


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    torch.save({"key": Evil(tmp_path / "ran")}, tmp_path / "x")
    path = tmp_path / f"checkpoint-00001-{file_sha256(tmp_path / 'x')}.pt"
    (tmp_path / "x").rename(path)
    assert load_checkpoint(tmp_path, fresh()) == [path.name]
    assert not (tmp_path / "ran").exists()


def test_what_a_killed_save_left_does_not_pile_up(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, begun())
    (path,) = tmp_path.glob(CHECKPOINTS)
    half = tmp_path / f".{path.name}.17-18"
    half.write_bytes(path.read_bytes()[:100])
    training = fresh()
    assert load_checkpoint(tmp_path, training) == []
    assert training.epoch == 2
    assert list(tmp_path.iterdir()) == [path]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))
