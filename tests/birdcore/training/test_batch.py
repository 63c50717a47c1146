"""Batches: clips over soundscapes, labels by who sounds, and nobody from the held-out folds."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.config import Background, Mixup, Sumix
from birdcore.config.augment import Band, Filter, Noise, Padding, Shift
from birdcore.config.training import TrainSettings
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale
from birdcore.sources.folds import EVERYWHERE, assign_folds
from birdcore.training.batch import make_batch
from birdcore.training.data import CropSampling, batches, crop_sampling, epoch_rows
from birdcore.training.segments import Segments
from birdcore.training.targets import ClipTargets, combine_targets
from birdcore.training.training_set import TrainingSet

SPEC = MelSpec(n_mels=4)
CROPS = CropSampling(frames=40, first_frames=None, loud=0.0)
PLAIN: dict[str, Any] = {"mixup": Mixup(probability=0.0)}
CLASSES = 5


def configured(**changes: Any) -> TrainSettings:
    """A round's settings; nothing is mixed, unless said."""
    return TrainSettings(**{"match_power": False, **PLAIN, **changes})


def noisy(count: int, seed: int, level: int = 100, length: int = 200) -> Recordings:
    rng = np.random.default_rng(seed)
    codes = rng.integers(level, level + 50, (count * length, SPEC.n_mels)).astype(np.float16) / 2
    starts = torch.arange(count) * length
    return Recordings(
        tuple(f"{seed}-{i}" for i in range(count)),
        torch.from_numpy(codes),
        starts,
        torch.full((count,), length),
        SPEC,
        Scale(dtype="float16"),
    )


def flat(levels_db: list[float]) -> Recordings:
    """Recordings of one level each."""
    codes = torch.tensor(levels_db).add(70).half().repeat_interleave(50)[:, None].expand(-1, 4)
    count = len(levels_db)
    return Recordings(
        tuple(f"flat{i}" for i in range(count)),
        codes.contiguous(),
        torch.arange(count) * 50,
        torch.full((count,), 50),
        SPEC,
        Scale(dtype="float16"),
    )


def training_set(count: int = 12) -> TrainingSet:
    labels = torch.eye(CLASSES)[torch.arange(count) % 3]
    every = torch.arange(count)
    return TrainingSet(noisy(count, 0), labels, every, every[:0], None, None)


def taught(data: TrainingSet, levels_db: list[float] | None = None) -> TrainingSet:
    """With two soundscapes that a teacher labelled: sure of class 3, unsure of class 4."""
    soundscapes = flat(levels_db) if levels_db else noisy(2, 9)
    segments = Segments(
        soundscapes,
        torch.tensor([0, 1]),
        torch.tensor([0, 5]),
        torch.tensor([[0.2, 0.0, 0.0, 0.9, 0.4], [0.1, 0.0, 0.0, 0.8, 0.5]]),
        torch.tensor([[False, True, True, True, False]] * 2),
        torch.tensor([0.5, 0.5], dtype=torch.double),
    )
    return replace(data, segments=segments)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_plain_batch_is_clips_with_their_own_labels() -> None:
    data, rows = training_set(), torch.tensor([3, 1, 4])
    power, labels, mask, *_ = make_batch(data, rows, CROPS, configured(), seeded())
    assert power.shape == (3, 4, 40)
    assert torch.equal(labels, data.labels[rows])
    assert mask is None
    for crop, row in zip(power, rows.tolist(), strict=True):
        inside = data.clips.power(torch.tensor([row]), torch.tensor([0]), 200)[0]
        at = [(inside[:, t : t + 40] == crop).all() for t in range(161)]
        assert sum(at) == 1


@pytest.mark.parametrize("match_power", [False, True])
def test_under_a_teacher_each_clip_is_half_clip_and_half_soundscape(match_power: bool) -> None:
    clips = replace(training_set(2), clips=flat([-10.0, -20.0]))
    data, rows = taught(clips, [-40.0, -30.0]), torch.tensor([0, 1] * 20)
    power, labels, mask, *_ = make_batch(
        data, rows, CROPS, configured(match_power=match_power), seeded()
    )
    own = torch.tensor([1e-1, 1e-2])[rows]
    first = labels[:, 3] == 0.9
    assert 5 < first.sum() < 35
    other = own if match_power else torch.where(first, 1e-4, 1e-3)
    expected = (0.5 * own + 0.5 * other)[:, None, None].expand(-1, 4, 40)
    torch.testing.assert_close(power, expected, rtol=0.01, atol=0)
    assert data.segments is not None
    teacher = data.segments.labels[(~first).long()]
    assert torch.equal(labels, torch.maximum(data.labels[rows], teacher))
    # The teacher is unsure of classes 0 and 4; class 0 counts where the clip itself has it.
    assert mask is not None
    expected_mask = torch.tensor([False, True, True, True, False]) | (data.labels[rows] > 0)
    assert torch.equal(mask, expected_mask)


def test_a_clip_gives_way_to_a_soundscape_with_the_teachers_labels_alone() -> None:
    data = taught(replace(training_set(2), clips=flat([-10.0, -20.0])), [-40.0, -40.0])
    settings = configured(mix_as="replace", mix_share=0.5, match_power=True)
    rows = torch.zeros(400, dtype=torch.long)
    power, labels, mask, *_ = make_batch(data, rows, CROPS, settings, seeded())
    replaced = power.mean(dim=(1, 2)) < 1e-3
    assert replaced.double().mean() == pytest.approx(0.5, abs=0.1)
    assert data.segments is not None
    assert mask is not None
    teachers = {tuple(row) for row in data.segments.labels.tolist()}
    assert {tuple(row) for row in labels[replaced].tolist()} == teachers
    assert torch.equal(mask[replaced][0], data.segments.mask[0])
    assert torch.equal(labels[~replaced], data.labels[rows][~replaced])
    assert mask[~replaced].all()


def test_a_clip_gives_way_only_to_a_soundscape_with_its_own_class() -> None:
    data = taught(replace(training_set(4), clips=flat([-10.0] * 4)), [-40.0, -30.0])
    assert data.segments is not None
    said = torch.tensor([[0.9, 0.0, 0.0, 0.9, 0.4], [0.1, 0.6, 0.0, 0.8, 0.5]])
    data = replace(data, segments=replace(data.segments, labels=said))
    rows = torch.arange(3).repeat(50)  # classes 0, 1 and 2; nobody heard class 2
    power, labels, *_ = make_batch(data, rows, CROPS, configured(mix_as="replace-same"), seeded())
    assert torch.equal(labels[rows == 0], said[0].expand(50, 5))
    assert torch.equal(labels[rows == 1], said[1].expand(50, 5))
    assert torch.equal(labels[rows == 2], data.labels[2].expand(50, 5))
    torch.testing.assert_close(power[rows == 2].mean(), torch.tensor(0.1), rtol=0.01, atol=0)


def test_targets_of_clips_are_a_mix_of_label_and_teacher() -> None:
    data, rows = training_set(3), torch.tensor([0, 1, 2])
    said = torch.rand(3, CLASSES, generator=seeded())
    told = ClipTargets(torch.arange(3), torch.ones(3, dtype=torch.long), torch.zeros(3), said)
    data = replace(data, clip_targets=told)
    for how in ("hard", "soft", "enriched"):
        _, labels, *_ = make_batch(data, rows, CROPS, configured(targets=how), seeded())
        assert torch.equal(labels, combine_targets(data.labels, said, how))


def test_quiet_pieces_alone_are_laid_under_clips() -> None:
    data = replace(training_set(1), clips=flat([-20.0]), background=noisy(2, 9))
    assert data.background is not None
    data = replace(data, quiet=(torch.tensor([1, 1]), torch.tensor([7, 90])))
    settings = configured(background=Background(probability=1.0, source="quiet", snr_db=(0.0, 0.0)))
    rows = torch.zeros(30, dtype=torch.long)
    power, *_ = make_batch(data, rows, CROPS, settings, seeded())
    pieces = data.background.power(torch.tensor([1, 1]), torch.tensor([7, 90]), CROPS.frames)
    laid = power - power.mean() / 2  # the clip is flat, and as loud as what is laid under it
    shapes = [one / one.std() for one in (pieces - pieces.mean(dim=(1, 2), keepdim=True))]
    for one in laid:
        shape = (one - one.mean()) / one.std()
        assert min(float((shape - other).abs().max()) for other in shapes) < 0.05
    assert len({round(float(one[0, 0]), 9) for one in power}) == 2


def test_floors_are_mixed_as_what_they_lie_under() -> None:
    data = taught(replace(training_set(2), clips=flat([-10.0, -20.0])), [-40.0, -30.0])
    data = replace(data, background=flat([-30.0]))
    settings = configured(
        match_power=True, normalise="floor", gain_db=6.0,
        background=Background(probability=0.5, source="soundscapes", snr_db=(3.0, 3.0)),
        sumix=Sumix(probability=0.5, gain_db=3.0),
    )  # fmt: skip
    rows = torch.tensor([0, 1] * 20)
    power, *_ = make_batch(data, rows, crop_sampling(settings, SPEC), settings, seeded())
    frames = SPEC.fixed_length(settings.crop_s)
    assert power.shape == (40, 4, frames + 1)
    # Steady sounds are their own floors, up to the median of exponential noise.
    floor, sound = power[..., -1] * math.log(2), power[..., :-1].mean(dim=2)
    torch.testing.assert_close(floor, sound, rtol=0.03, atol=0)
    assert len(sound[:, 0].unique()) > 20
    settings = configured(background=Background(probability=1.0), normalise="floor")
    power, *_ = make_batch(data, rows, crop_sampling(settings, SPEC), settings, seeded())
    assert power.shape == (40, 4, frames + 1)


def test_the_weight_of_the_soundscape_is_the_recipes() -> None:
    data = taught(replace(training_set(1), clips=flat([-10.0])), [-40.0, -40.0])
    power, *_ = make_batch(data, torch.tensor([0]), CROPS, configured(mix=0.2), seeded())
    assert power.mean() == pytest.approx(0.8 * 1e-1 + 0.2 * 1e-4, rel=0.01)


def test_a_share_of_clips_meets_a_soundscape_and_the_others_stay() -> None:
    data = taught(replace(training_set(1), clips=flat([-10.0])), [-40.0, -40.0])
    rows = torch.zeros(2_000, dtype=torch.long)
    power, labels, mask, *_ = make_batch(data, rows, CROPS, configured(mix_share=0.3), seeded())
    mixed = power.mean(dim=(1, 2)) < 0.08
    assert mixed.double().mean() == pytest.approx(0.3, abs=0.04)
    assert mask is not None
    assert torch.equal(labels[~mixed], data.labels[rows][~mixed])
    assert mask[~mixed].all()
    assert (labels[mixed][:, 3] > 0).all()
    assert not mask[mixed][:, 4].any()


def test_a_soundscape_lies_under_a_clip_at_the_snr_that_is_asked_for() -> None:
    levels = [-10.0, -20.0, -35.0]
    data = replace(training_set(3), clips=flat(levels), background=flat([0.0, -50.0]))
    rows = torch.tensor([0, 1, 2] * 300)
    background = Background(probability=0.6, snr_db=(3.0, 9.0))
    power, labels, mask, *_ = make_batch(
        data, rows, CROPS, configured(background=background), seeded()
    )
    clip = 10 ** (torch.tensor(levels)[rows] / 10)
    added = power.mean(dim=(1, 2)) / clip - 1
    snr_db = -10 * added[added > 1e-3].log10()
    assert len(snr_db) / len(rows) == pytest.approx(0.6, abs=0.06)
    assert 2.9 < snr_db.min() < 3.5
    assert 8.5 < snr_db.max() < 9.1
    assert torch.equal(labels, data.labels[rows])
    assert mask is None


def test_floors_are_the_steady_noise_and_know_nothing_of_a_call() -> None:
    rng = torch.Generator().manual_seed(1)
    noise_db = 10 * (-torch.rand(4_000, 4, generator=rng).log()).log10()  # exponential, mean 1
    noise_db[1_000:1_400] = 40.0  # a call, for a tenth of the time
    codes = (noise_db + 70.0).clamp(min=0).half()
    soundscape = replace(flat([0.0]), codes=codes, lengths=torch.tensor([4_000]))
    floors = soundscape.floors
    assert floors.shape == (1, 4)
    assert floors.mean() == pytest.approx(1.0, rel=0.3)

    loud = replace(training_set(1), clips=flat([0.0]), background=soundscape)
    asked = configured(background=Background(probability=1.0, source="floors", snr_db=(0.0, 0.0)))
    power, *_ = make_batch(loud, torch.zeros(200, dtype=torch.long), CROPS, asked, seeded())
    added = power - 1.0
    assert added.mean() == pytest.approx(1.0, rel=0.02)
    assert added.std() == pytest.approx(0.5**0.5, rel=0.15)  # the mean of two exponentials
    assert added.max() < 30  # no call in it, which would be 10,000


def test_without_a_soundscape_that_can_be_read_clips_stay_as_they_are() -> None:
    nothing = replace(flat([0.0]), names=(), codes=torch.zeros(0, 4).half())
    data = replace(training_set(), background=nothing)
    asked = configured(background=Background(probability=1.0))
    rows = torch.tensor([0, 1])
    power, *_ = make_batch(data, rows, CROPS, asked, seeded())
    plain, *_ = make_batch(training_set(), rows, CROPS, configured(), seeded())
    assert torch.equal(power, plain)


def test_silence_over_a_background_stays_finite() -> None:
    silent = replace(flat([-70.0]), codes=torch.zeros(50, 4).half())
    for clips, background in ((silent, flat([0.0])), (flat([0.0]), silent), (silent, silent)):
        data = replace(training_set(1), clips=clips, background=background)
        asked = configured(background=Background(probability=1.0))
        power, *_ = make_batch(data, torch.tensor([0]), CROPS, asked, seeded())
        assert power.isfinite().all()


@pytest.mark.parametrize("how", ["mixup", "sumix"])
def test_a_class_counts_in_a_mix_only_where_it_counts_in_both(how: str) -> None:
    mixes = {
        "mixup": {"mixup": Mixup(probability=1.0, labels="max")},
        "sumix": {"sumix": Sumix(probability=1.0)},
    }
    data, rows = taught(training_set()), torch.arange(12)
    _, before, mask_before, *_ = make_batch(data, rows, CROPS, configured(), seeded())
    _, labels, mask, *_ = make_batch(data, rows, CROPS, configured(**mixes[how]), seeded())
    assert mask is not None
    assert mask_before is not None
    # Every clip has met the soundscapes, so classes 1 to 3 count everywhere, class 4 nowhere.
    assert mask[:, 1:4].all()
    assert not mask[:, 4].any()
    both = mask[:, 0]
    assert (mask_before[:, 0] >= both).all()
    assert (labels >= before - 1e-6).all()
    assert (labels.sum(dim=1) > before.sum(dim=1)).any()


def test_a_gain_makes_clips_louder_or_softer_and_leaves_labels() -> None:
    data = replace(training_set(1), clips=flat([-20.0]))
    rows = torch.zeros(500, dtype=torch.long)
    power, labels, *_ = make_batch(data, rows, CROPS, configured(gain_db=6.0), seeded())
    gain_db = 10 * power.mean(dim=(1, 2)).log10() + 20
    assert -6.1 < gain_db.min() < -5.5
    assert 5.5 < gain_db.max() < 6.1
    assert torch.equal(labels, data.labels[rows])


def test_the_same_generator_makes_the_same_batch() -> None:
    asked = configured(
        mixup=Mixup(),
        sumix=Sumix(probability=0.5),
        background=Background(probability=0.5),
        loud_crops=0.5,
        gain_db=3.0,
        mix_share=0.5,
    )
    data = replace(taught(training_set()), background=noisy(3, 5))
    rows = torch.arange(12)
    first, second, third = (make_batch(data, rows, CROPS, asked, seeded(s)) for s in (4, 4, 5))
    for a, b in zip(first[:3], second[:3], strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)
    assert not torch.equal(first[0], third[0])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1_000), st.integers(2, 4), st.integers(4, 9))
def test_nothing_that_is_held_out_is_ever_heard_in_training(
    seed: int, count: int, authors: int
) -> None:
    rng = np.random.default_rng(seed)
    size = 40
    table = pd.DataFrame(
        {
            "recording": [f"r{i}" for i in range(size)],
            "author": [f"author {a}" for a in rng.integers(0, authors, size)],
            "primary_label": [f"class {k}" for k in rng.integers(0, CLASSES, size)],
        }
    )
    if table["author"].nunique() < count:
        return
    folds = assign_folds(table, count, seed).of.to_numpy()
    labels = torch.eye(CLASSES)[pd.factorize(table["primary_label"])[0]]
    asked = configured(mixup=Mixup(probability=1.0), sumix=Sumix(probability=0.5), loud_crops=0.5)
    for fold in range(count):
        held = torch.from_numpy(np.flatnonzero(folds == fold))
        train = torch.from_numpy(np.flatnonzero(folds != fold))
        clips = noisy(size, 1)
        clips.codes.view(size, -1)[held] = torch.nan  # heard once, it would spread
        data = TrainingSet(clips, labels, train, held, None, None)
        split = (folds != fold) & (folds != EVERYWHERE)
        assert not set(table["author"][split]) & set(table["author"][folds == fold])
        rows = epoch_rows(labels, train, 2, 10, seeded(seed))
        assert set(rows.tolist()) == set(train.tolist())
        for batch in batches(rows, 16):
            power, *_ = make_batch(data, batch, CROPS, asked, seeded(seed))
            assert power.isfinite().all()


DISTORTIONS: dict[str, dict[str, Any]] = {
    "reverse": {"reverse": 1.0},
    "flip": {"flip_frequency": 1.0},
    "shift": {"shift": Shift(probability=1.0, max_s=0.2)},
    "padding": {"padding": Padding(probability=1.0, min_share=0.2)},
    "padding with the floor": {"padding": Padding(probability=1.0, min_share=0.2, fill="floor")},
    "filter": {"filter": Filter(probability=1.0)},
    "band": {"band": Band(probability=1.0, min_share=0.2)},
    "noise": {"noise": Noise(probability=1.0)},
}


@pytest.mark.parametrize("how", DISTORTIONS)
def test_what_a_round_asks_for_is_done_to_crops_and_labels_stay(how: str) -> None:
    data, rows = training_set(), torch.arange(12)
    asked = configured(normalise="floor", **DISTORTIONS[how])
    crops = CropSampling(frames=40, first_frames=None, loud=0.0, with_floor=True)
    plain = make_batch(data, rows, crops, configured(normalise="floor"), seeded())
    done = make_batch(data, rows, crops, asked, seeded())
    assert torch.equal(done.labels, plain.labels)
    assert done.power.shape == plain.power.shape
    assert done.power.isfinite().all()
    assert not torch.equal(done.power[:, :, :-1], plain.power[:, :, :-1])
    moves_only = how in ("reverse", "shift", "padding", "padding with the floor")
    assert torch.equal(done.power[:, :, -1], plain.power[:, :, -1]) == moves_only


def test_crops_begin_where_the_epoch_says() -> None:
    data, rows = training_set(), torch.tensor([3, 5])
    offsets = torch.tensor([17, 160])
    batch = make_batch(data, rows, CROPS, configured(), seeded(), offsets)
    assert torch.equal(batch.power, data.clips.power(rows, offsets, CROPS.frames))


def test_losses_are_mixed_in_one_share_for_the_batch() -> None:
    """4th place 2025: both clips keep their labels, and the losses are weighed as the sound is."""
    data = replace(training_set(3), clips=flat([0.0, 10.0, 20.0]))
    rows = torch.tensor([0, 1, 2])
    asked = configured(mixup=Mixup(probability=1.0, labels="losses"))
    power, labels, _, second, *_ = make_batch(data, rows, CROPS, asked, seeded())
    assert second is not None
    assert torch.equal(labels, data.labels[rows])
    assert torch.equal(labels.sum(0), second.labels.sum(0))
    assert not torch.equal(labels, second.labels)
    levels = torch.tensor([1.0, 10.0, 100.0])
    others = levels[second.labels.argmax(dim=1)]
    expected = (1 - second.share) * levels + second.share * others
    torch.testing.assert_close(power.mean(dim=(1, 2)), expected, rtol=0.02, atol=0)


def test_a_constant_weight_takes_the_place_of_a_drawn_one() -> None:
    data = replace(training_set(3), clips=flat([0.0, 10.0, 20.0]))
    asked = configured(mixup=Mixup(probability=1.0, weight=0.5, labels="soft"))
    power, labels, *_ = make_batch(data, torch.tensor([0, 1, 2]), CROPS, asked, seeded())
    levels = torch.tensor([1.0, 10.0, 100.0])
    assert set(labels.unique().tolist()) == {0.0, 0.5}
    torch.testing.assert_close(power.mean(dim=(1, 2)), labels[:, :3] @ levels, rtol=0.02, atol=0)


LOUD: dict[str, Any] = {
    "reverse": 0.5,
    "flip_frequency": 0.5,
    "shift": Shift(probability=0.5, max_s=0.2),
    "padding": Padding(probability=0.5),
    "filter": Filter(probability=0.5),
    "band": Band(probability=0.5),
    "background": Background(probability=0.5),
    "noise": Noise(probability=0.5),
    "gain_db": 3.0,
}
MIXED: dict[str, Any] = {"mixup": Mixup(), "sumix": Sumix(probability=0.5), "loud_crops": 0.5}


def test_a_generator_of_the_device_draws_what_is_done_to_sounds_and_no_more() -> None:
    """On a GPU `noise` is another one: what meets what must not hang on it, nor sounds on `rng`."""
    data = replace(taught(training_set()), background=noisy(3, 5))
    rows, asked = torch.arange(12), configured(**LOUD, **MIXED, mix_share=0.5)

    def drawn(seed: int) -> Any:
        return make_batch(data, rows, CROPS, asked, seeded(1), noise=seeded(seed))

    first, again, other = drawn(2), drawn(2), drawn(3)
    assert torch.equal(first.power, again.power)
    assert not torch.equal(first.power, other.power)
    assert torch.equal(first.labels, other.labels)
    assert torch.equal(first.mask, other.mask)


@pytest.mark.parametrize("key", [key for key in LOUD if key != "background"])
def test_what_is_done_to_sounds_draws_from_noise_alone(key: str) -> None:
    data, rows = training_set(), torch.arange(12)
    rng, noise = seeded(1), seeded(2)
    plain = seeded(1)
    make_batch(data, rows, CROPS, configured(), plain, noise=seeded(2))
    make_batch(data, rows, CROPS, configured(**{key: LOUD[key]}), rng, noise=noise)
    assert torch.equal(rng.get_state(), plain.get_state())
    assert not torch.equal(noise.get_state(), seeded(2).get_state())


def test_the_noise_of_backgrounds_is_drawn_by_the_generator_of_the_device() -> None:
    data = replace(training_set(), background=noisy(3, 5))
    asked = configured(background=Background(probability=1.0, source="floors"))
    noise = seeded(2)
    make_batch(data, torch.arange(12), CROPS, asked, seeded(1), noise=noise)
    assert not torch.equal(noise.get_state(), seeded(2).get_state())
