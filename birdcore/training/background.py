"""Background: sound of unlabelled soundscapes laid under labelled clips.

Three sources: synthetic noise with a soundscape's steady spectrum, its quiet segments, or any
segment. Quiet segments hold field noise, distant birds and insects, which steady noise lacks. And
unlike whole soundscapes they do not train a model to ignore the birds that a teacher is to label.
"""

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool1d

from birdcore.config.augment import Background
from birdcore.features.recordings import Recordings
from birdcore.training.augment import Domain, gain_of, mean_power
from birdcore.training.data import CropSampling, draw_offsets
from birdcore.training.event_labels import KINDS, EventLabels

QUIETEST = 0.2
"""Share of a soundscape's segments that are taken."""
SMOOTH_S = 0.25
LOUDEST_BINS = 0.1
STEPS = 8
"""Segments begin at every eighth of their length."""


def add_background(
    power: Tensor,
    soundscapes: Recordings,
    quiet: tuple[Tensor, Tensor] | None,
    settings: Background,
    crops: CropSampling,
    rng: Generator,
    noise: Generator,
    domain: Domain = "power",
) -> Tensor:
    """Clips over random background, at a random signal-to-noise ratio of their mean powers.

    Args:
        power: clips (B, M, T), or T + 1 with the floor; or waves, over segments alone.
        soundscapes: what the background is taken from.
        quiet: rows and first frames of `quiet_segments`, where only those are used.
        settings: probability, source and range of the signal-to-noise ratio in dB.
        crops: length of crops.
        rng: on the CPU.
        noise: on the device of the batch.
        domain: of clips and background.

    Returns:
        Sounds of the shape given.
    """
    batch = len(power)
    rows = torch.randint(len(soundscapes.names), (batch,), generator=rng).to(soundscapes.device)
    if settings.source == "floors":
        background = _steady_noise(soundscapes.floors[rows], crops, noise)
    else:
        if quiet is None:
            offsets = draw_offsets(soundscapes, rows, CropSampling(crops.frames), rng)
        else:
            index = torch.randint(len(quiet[0]), (batch,), generator=rng).to(soundscapes.device)
            rows, offsets = quiet[0][index], quiet[1][index]
        background = soundscapes.power(rows, offsets, crops.frames, with_floor=crops.with_floor)
    low, high = settings.snr_db
    snr_db = torch.rand(batch, 1, 1, generator=rng) * (high - low) + low
    chosen = torch.rand(batch, 1, 1, generator=rng) < settings.probability
    gain = torch.where(chosen, 10 ** (-snr_db / 10), 0.0).to(power)
    mean, mean_background = (mean_power(x, domain) for x in (power, background))
    gain = gain * (mean / mean_background.clamp_min(1e-12))
    return power + gain_of(gain, domain) * background


def _steady_noise(floors: Tensor, crops: CropSampling, generator: Generator) -> Tensor:
    """Gaussian noise (B, M, T) of mean powers `floors` (B, M), with the floor as one more frame
    where crops have it.

    The power of Gaussian noise in a band is exponentially distributed. A mel bin is the mean of a
    few bands: two here.
    """
    shape = (2, *floors.shape, crops.frames)
    drawn = torch.rand(shape, generator=generator, device=generator.device).clamp(min=1e-12)
    noise = floors[:, :, None] * (-drawn.log()).mean(dim=0).to(floors)
    return torch.cat([noise, floors[:, :, None]], dim=2) if crops.with_floor else noise


def quiet_segments(soundscapes: Recordings, frames: int) -> tuple[Tensor, Tensor]:
    """The quietest segments of every soundscape.

    A segment is as loud as its loudest moment: the mean, in dB over the soundscape's steady noise,
    of the tenth of its bins that are loudest, smoothed over a quarter of a second.

    Args:
        soundscapes: R recordings.
        frames: length of a segment.

    Returns:
        Rows and first frames (P,) of the segments.
    """
    rows, offsets = [], []
    for row, length in enumerate(soundscapes.lengths.tolist()):
        last = max(0, length - frames)
        starts = torch.arange(0, last + 1, max(1, frames // STEPS))
        loudness = _loudness(soundscapes, row, length)
        peaks = torch.stack([loudness[s : s + frames].max() for s in starts.tolist()])
        count = max(1, round(QUIETEST * len(starts)))
        rows.append(torch.full((count,), row))
        offsets.append(starts[peaks.argsort(stable=True)[:count].cpu()])
    device = soundscapes.device
    return torch.cat(rows).to(device), torch.cat(offsets).to(device)


def without_events(
    quiet: tuple[Tensor, Tensor], rows: Tensor, events: EventLabels, frames: int
) -> tuple[Tensor, Tensor]:
    """Quiet segments but for those in which somebody hears something.

    Args:
        quiet: rows and first frames (P,) of `quiet_segments`.
        rows: of each soundscape its recording among those of the events, or -1 (R,).
        events: what people said.
        frames: length of a segment.

    Raises:
        ValueError: none is left.
    """
    of_events, offsets = rows[quiet[0].cpu()], quiet[1].cpu()
    which, event, overlap = events.events.overlap(
        of_events, offsets, torch.full_like(offsets, frames)
    )
    heard = (events.kind[event] == KINDS["present"]) & (overlap > 0)
    silent = torch.ones(len(of_events), dtype=torch.bool)
    silent[which[heard]] = False
    if not silent.any():
        raise ValueError(
            "somebody hears something in all quiet segments of soundscapes, so that there is no "
            "background: choose another background.source, or set background.probability = 0"
        )
    silent = silent.to(quiet[0].device)
    return quiet[0][silent], quiet[1][silent]


def _loudness(soundscapes: Recordings, row: int, length: int) -> Tensor:
    """Loudness of each frame (T,), in units of 10 dB."""
    rows = torch.tensor([row], device=soundscapes.device)
    power = soundscapes.power(rows, torch.zeros_like(rows), length, with_floor=True)[0].double()
    floor = power[:, -1:].clamp_min(1e-12)
    over_floor = torch.log10((power[:, :-1] / floor).clamp_min(0.1))
    width = min(max(1, round(SMOOTH_S * soundscapes.spec.frame_rate)) // 2 * 2 + 1, length)
    if width % 2 == 0:
        width -= 1
    smooth = avg_pool1d(over_floor[None], width, stride=1, padding=width // 2)[0]
    return smooth.topk(max(1, round(LOUDEST_BINS * len(smooth))), dim=0).values.mean(dim=0)
