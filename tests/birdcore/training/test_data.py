"""What a model learns of clips: crops, labels and epochs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from birdcore.config import Round
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale, decode_energy
from birdcore.training.data import (
    CropSampling,
    batches,
    crop_sampling,
    draw_offsets,
    epoch_rows,
    hard_labels,
    overlapping,
)

CROP_S = 5.0
SPEC = MelSpec(n_mels=4)
BYTES = Scale()


def recordings(lengths: Sequence[int], scale: Scale = BYTES) -> Recordings:
    """Recordings whose codes tell the recording (bin 0) and the frame (bins 1 and 2)."""
    r = np.repeat(np.arange(len(lengths)), lengths)
    t = np.concatenate([np.arange(n) for n in lengths])
    codes = np.stack([r + 1, t // 100 + 1, t % 100 + 1, 0 * t], axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Recordings(
        tuple(f"r{i}" for i in range(len(lengths))),
        torch.from_numpy(codes.astype(scale.dtype)),
        torch.from_numpy(starts[:-1]),
        torch.tensor(list(lengths)),
        SPEC,
        scale,
    )


def frames_in(power: torch.Tensor, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Recording and frame (B, T) of each frame of power (B, 4, T)."""
    if scale.dtype == "float16":
        codes = (10 * power.clamp_min(1e-30).log10() - scale.floor_db).clamp_min(0)
    else:
        table = torch.from_numpy(decode_energy(np.arange(256, dtype=np.uint8), scale, 2))
        codes = torch.searchsorted(table, power.contiguous())
    r, hundreds, ones, zero = codes.round().long().numpy().transpose(1, 0, 2)
    assert not zero.any()
    return r - 1, (hundreds - 1) * 100 + ones - 1


@pytest.mark.parametrize("scale", [Scale(), Scale(dtype="float16")])
def test_a_crop_is_power_of_its_frames_and_a_short_recording_repeats(scale: Scale) -> None:
    data = recordings([7, 500, 30], scale)
    power = data.power(torch.tensor([1, 2, 0, 1]), torch.tensor([0, 25, 3, 480]), 20)
    assert power.shape == (4, 4, 20)
    assert power.dtype == torch.float32
    r, t = frames_in(power, scale)
    steps = np.arange(20)
    np.testing.assert_array_equal(r, np.array([[1], [2], [0], [1]]).repeat(20, axis=1))
    np.testing.assert_array_equal(t, [steps, (25 + steps) % 30, (3 + steps) % 7, 480 + steps])
    codes = data.codes[7:27].numpy()
    np.testing.assert_allclose(power[0].T, decode_energy(codes, scale, 2), rtol=1e-5)


def test_no_crop_at_all_is_an_empty_batch() -> None:
    none = torch.zeros(0, dtype=torch.long)
    assert recordings([7]).power(none, none, 20).shape == (0, 4, 20)


@given(
    st.lists(st.integers(1, 2_000), min_size=1, max_size=6),
    st.integers(1, 400),
    st.one_of(st.none(), st.integers(1, 600)),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 2**32),
)
def test_crops_stay_inside_their_recording_and_its_max_start_seconds(
    lengths: list[int], frames: int, first: int | None, loud: float, seed: int
) -> None:
    data = recordings(lengths)
    rows = torch.arange(len(lengths)).repeat(20)
    offsets = draw_offsets(
        data, rows, CropSampling(frames, first, loud), torch.Generator().manual_seed(seed)
    )
    length = torch.tensor(lengths)[rows]
    ends = length if first is None else torch.minimum(length, torch.tensor(max(first, frames)))
    assert (offsets >= 0).all()
    assert ((offsets + frames <= ends) | (offsets == 0)).all()


def test_crops_come_from_everywhere_alike() -> None:
    rows = torch.zeros(20_000, dtype=torch.long)
    rng = torch.Generator().manual_seed(0)
    offsets = draw_offsets(recordings([24]), rows, CropSampling(20, None, 0.0), rng)
    shares = offsets.bincount() / len(rows)
    assert len(shares) == 5
    assert (shares - 0.2).abs().max() < 0.02


def test_loud_crops_are_the_louder_of_two() -> None:
    codes = torch.zeros(2_000, 4, dtype=torch.uint8)
    codes[1_000:] = 200
    data = Recordings(("a",), codes, torch.tensor([0]), torch.tensor([2_000]), SPEC, Scale())
    rows = torch.zeros(4_000, dtype=torch.long)

    def loud_share(loud: float) -> float:
        rng = torch.Generator().manual_seed(0)
        offsets = draw_offsets(data, rows, CropSampling(20, None, loud), rng)
        return float((offsets >= 1_000).double().mean())

    assert loud_share(0.0) == pytest.approx(0.5, abs=0.03)
    assert loud_share(1.0) == pytest.approx(0.75, abs=0.03)
    assert loud_share(0.5) == pytest.approx(0.625, abs=0.03)


def test_the_same_generator_draws_the_same_crops() -> None:
    data, rows = recordings([900, 800]), torch.tensor([0, 1, 1, 0])
    drawn = [
        draw_offsets(data, rows, CropSampling(100, None, 0.5), torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_hard_labels_are_one_for_the_primary_and_less_for_the_others() -> None:
    table = pd.DataFrame(
        {
            "recording": ["x", "y", "z"],
            "primary_label": ["b", "a", "c"],
            "secondary_labels": [np.array(["a", "c"]), np.array(["a"]), np.array([])],
        }
    ).set_index("recording", drop=False)
    labels = hard_labels(["z", "x", "y"], table, ["a", "b", "c"], 0.3)
    np.testing.assert_allclose(labels, [[0, 0, 1], [0.3, 1, 0.3], [1, 0, 0]])


def counts_of(rows: torch.Tensor) -> dict[int, int]:
    return {int(r): int(n) for r, n in zip(*rows.unique(return_counts=True), strict=True)}


def test_an_epoch_has_every_recording_and_those_of_rare_classes_more() -> None:
    labels = torch.zeros(20, 3)
    labels[:12, 0] = labels[12:17, 1] = labels[17:, 2] = 1
    labels[0, 1] = 0.5  # a soft secondary label is no recording of its class
    rows = torch.arange(18)  # one of class 2
    rng = torch.Generator().manual_seed(0)
    assert counts_of(epoch_rows(labels, rows, 1, 0, rng)) == dict.fromkeys(range(18), 1)
    assert counts_of(epoch_rows(labels, rows, 3, 0, rng)) == dict.fromkeys(range(18), 3)
    drawn = epoch_rows(labels, rows, 1, 10, rng)
    expected = dict.fromkeys(range(12), 1) | dict.fromkeys(range(12, 17), 2) | {17: 10}
    assert counts_of(drawn) == expected
    assert not torch.equal(drawn, drawn.sort().values)
    twice = epoch_rows(labels, rows, 2, 10, rng)
    assert counts_of(twice) == {r: 2 * n for r, n in expected.items()}


def test_classes_are_drawn_alike() -> None:
    labels = torch.zeros(110, 2)
    labels[:100, 0] = labels[100:, 1] = 1
    rng = torch.Generator().manual_seed(0)
    drawn = epoch_rows(labels, torch.arange(110), 20, 0, rng, by_class=True)
    assert len(drawn) == 2200
    rare = int((drawn >= 100).sum())
    assert abs(rare - 1100) < 4 * (2200 / 4) ** 0.5
    assert len(drawn.unique()) > 100


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=6),
    st.integers(1, 200),
    st.one_of(st.none(), st.integers(1, 400)),
)
def test_overlapping_crops_cover_every_frame_in_equal_steps(
    lengths: list[int], frames: int, first: int | None
) -> None:
    crops = CropSampling(frames, first, 0.0)
    rng = torch.Generator().manual_seed(0)
    rows, offsets = overlapping(recordings(lengths), torch.arange(len(lengths)), crops, rng)
    for row, length in enumerate(lengths):
        usable = length if first is None else min(length, max(first, frames))
        starts = offsets[rows == row].sort().values
        assert starts[0] == 0
        assert starts[-1] == max(0, usable - frames)
        assert len(starts.unique()) == len(starts)
        assert all(step <= max(1, frames // 2) for step in starts.diff())


def test_a_rare_bird_counts_whatever_sings_behind_it() -> None:
    labels = torch.zeros(11, 3)
    labels[:10, 0] = 1
    labels[10] = torch.tensor([1.0, 0.0, 1.0])  # primary 2, secondary 0 of weight 1
    rng = torch.Generator().manual_seed(0)
    counts = counts_of(epoch_rows(labels, torch.arange(11), 1, 5, rng))
    assert counts == dict.fromkeys(range(10), 1) | {10: 5}


@given(st.integers(0, 50).filter(lambda count: count != 1), st.integers(2, 20))
def test_batches_are_whole_and_nothing_is_in_two(count: int, size: int) -> None:
    rows = torch.arange(count)
    parts = list(batches(rows, size))
    joined = torch.cat(parts)
    assert torch.equal(joined, rows[: len(joined)])
    if count > size:
        assert {len(part) for part in parts} == {size}
        assert count - len(joined) < size
    else:
        assert [len(part) for part in parts] == [count]


def test_a_single_row_comes_twice_since_a_batch_has_statistics() -> None:
    assert [part.tolist() for part in batches(torch.tensor([7]), 4)] == [[7, 7]]


def test_crops_are_measured_in_frames() -> None:
    one = Round(name="one", backbones=("x",), crop_s=5.0, max_start_s=30.0, loud_crops=0.2)
    assert crop_sampling(one, MelSpec()) == CropSampling(313, 1876, 0.2)
    whole = Round(name="one", backbones=("x",))
    assert crop_sampling(whole, MelSpec()).first_frames is None


def test_weights_say_how_often_a_recording_is_drawn() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.ones(400, 1)
    weights = torch.tensor([1.0, 0.5, 2.25, 0.0]).repeat_interleave(100)
    drawn = epoch_rows(labels, torch.arange(400), 2, 0, rng, weights=weights)
    times = torch.bincount(drawn, minlength=400).reshape(4, 100)
    assert [set(part.tolist()) for part in times] == [{2}, {1}, {4, 5}, {0}]
    assert 430 < int(times[2].sum()) < 470
    by_class = epoch_rows(labels, torch.arange(400), 10, 0, rng, by_class=True, weights=weights)
    shares = torch.bincount(by_class // 100, minlength=4) / len(by_class)
    assert torch.allclose(shares, torch.tensor([4, 2, 9, 0]) / 15, atol=0.03)


def test_an_epoch_is_never_empty() -> None:
    rng = torch.Generator().manual_seed(0)
    drawn = epoch_rows(torch.ones(2, 1), torch.arange(2), 1, 0, rng, weights=torch.full((2,), 1e-9))
    assert sorted(drawn.tolist()) == [0, 1]
