"""Which pieces of soundscapes count as quiet."""

import numpy as np
import pandas as pd
import pytest
import torch

from birdcore.config.augment import Background
from birdcore.config.training import AnnotatedCrops
from birdcore.features.mel import MelSpec
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Scale, encode
from birdcore.features.wave import WaveSpec
from birdcore.sources.annotated import AnnotatedRecordings
from birdcore.training.background import (
    QUIETEST,
    STEPS,
    add_background,
    quiet_segments,
    without_events,
)
from birdcore.training.data import CropSampling
from birdcore.training.event_labels import event_labels

SPEC = MelSpec(n_mels=10)
FRAMES = 100


def soundscapes(lengths: list[int], birds: list[list[tuple[int, int]]]) -> Recordings:
    """Noise of another level in each, with a bird 20 dB above it in two bins at these frames."""
    rng = np.random.default_rng(0)
    codes = []
    for at, (length, sung) in enumerate(zip(lengths, birds, strict=True)):
        power = rng.gamma(2.0, 0.5, (length, 10)) * 10.0 ** (-4 - at)
        for begin, end in sung:
            power[begin:end, 3:5] *= 100.0
        codes.append(encode(power.astype(np.float32), 2, Scale()))
    starts = torch.tensor([0, *np.cumsum(lengths)[:-1].tolist()])
    names = tuple(f"s{at}" for at in range(len(lengths)))
    every = torch.from_numpy(np.concatenate(codes))
    return Recordings(names, every, starts, torch.tensor(lengths), SPEC, Scale())


def test_no_piece_holds_a_bird_and_level_does_not_matter() -> None:
    birds = [[(0, 300), (700, 1000)], [(400, 1000)]]
    rows, offsets = quiet_segments(soundscapes([1000, 1000], birds), FRAMES)
    count = round(QUIETEST * (900 // (FRAMES // STEPS) + 1))
    assert torch.bincount(rows).tolist() == [count, count]
    for row, offset in zip(rows.tolist(), offsets.tolist(), strict=True):
        assert 0 <= offset <= 1000 - FRAMES
        assert all(offset + FRAMES <= a or b <= offset for a, b in birds[row])


def test_a_soundscape_shorter_than_a_piece_is_one_piece() -> None:
    rows, offsets = quiet_segments(soundscapes([30, 1, 100], [[], [], []]), FRAMES)
    assert rows.tolist() == [0, 1, 2]
    assert offsets.tolist() == [0, 0, 0]


def test_no_quiet_piece_holds_what_somebody_hears() -> None:
    names = ["recording", "start_s", "end_s", "label", "kind"]
    said = [("b", 2.0, 3.0, "x", "present"), ("b", 0.0, 1.0, "x", "absent")]
    said += [("a", 0.0, 9.0, "y", "present")]  # of another soundscape
    tables = pd.DataFrame(said, columns=names), pd.DataFrame(columns=names[:3]), pd.DataFrame()
    lengths = torch.tensor([1000, 1000])
    events = event_labels(
        ["a", "b"], lengths, 100.0, AnnotatedRecordings(*tables), ["x", "y"], AnnotatedCrops()
    )
    rows = torch.tensor([-1, 1])  # of soundscapes of which the second one is "b"
    pieces = torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([0, 200, 0, 100, 150, 300])
    left = without_events(pieces, rows, events, 100)
    assert [each.tolist() for each in left] == [[0, 0, 1, 1, 1], [0, 200, 0, 100, 300]]
    with pytest.raises(ValueError, match="somebody hears something in all quiet segments"):
        without_events((torch.tensor([1]), torch.tensor([150])), rows, events, 100)


def test_waves_are_laid_under_waves_at_their_ratio() -> None:
    spec = WaveSpec(hop_length=50)
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(400, 50, generator=rng) - 0.5
    codes = torch.from_numpy(encode(noise.numpy(), 1, spec.scale()))
    starts, lengths = torch.tensor([0]), torch.tensor([400])
    under = Recordings(("s",), codes, starts, lengths, spec, spec.scale())
    clips = 0.1 * torch.randn(3, 50, 200, generator=rng)
    settings = Background(probability=1.0, source="soundscapes", snr_db=(10.0, 10.0))
    laid = add_background(clips, under, None, settings, CropSampling(200), rng, rng, "wave")
    ratio = clips.square().mean(dim=(1, 2)) / (laid - clips).square().mean(dim=(1, 2))
    torch.testing.assert_close(ratio, torch.full((3,), 10.0), rtol=1e-3, atol=0)
