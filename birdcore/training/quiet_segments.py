"""Pieces of soundscapes in which little sounds: field noise, far birds, insects, but no near bird.

As background they are what a model will hear between the birds, which steady noise is not. And they
teach nobody that soundscapes hold no birds, which whole soundscapes would.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from birdcore.features.recordings import Recordings

QUIETEST = 0.2
"""Share of a soundscape's pieces that are taken."""
SMOOTH_S = 0.25
LOUDEST_BINS = 0.1
STEPS = 8
"""Pieces begin at every eighth of their length."""


def quiet_pieces(soundscapes: Recordings, frames: int) -> tuple[Tensor, Tensor]:
    """Rows and first frames (P,) of the quietest pieces of so many frames, of every soundscape.

    A piece is as loud as its loudest moment: the mean, in dB over the soundscape's steady noise, of
    the tenth of its bins that are loudest, smoothed over a quarter of a second.
    """
    rows, offsets = [], []
    for row, length in enumerate(soundscapes.lengths.tolist()):
        last = max(0, length - frames)
        starts = torch.arange(0, last + 1, max(1, frames // STEPS))
        loud = _loudness(soundscapes, row, length)
        peaks = torch.stack([loud[s : s + frames].max() for s in starts.tolist()])
        count = max(1, round(QUIETEST * len(starts)))
        rows.append(torch.full((count,), row))
        offsets.append(starts[peaks.argsort(stable=True)[:count].cpu()])
    device = soundscapes.device
    return torch.cat(rows).to(device), torch.cat(offsets).to(device)


def _loudness(soundscapes: Recordings, row: int, length: int) -> Tensor:
    """Of each frame, (T,), in units of 10 dB."""
    at = torch.tensor([row], device=soundscapes.device)
    power = soundscapes.power(at, torch.zeros_like(at), length, with_floor=True)[0].double()
    floor = power[:, -1:].clamp_min(1e-12)
    over = torch.log10((power[:, :-1] / floor).clamp_min(0.1))
    width = min(max(1, round(SMOOTH_S * soundscapes.spec.frame_rate)) // 2 * 2 + 1, length)
    if width % 2 == 0:
        width -= 1
    smooth = avg_pool1d(over[None], width, stride=1, padding=width // 2)[0]
    return smooth.topk(max(1, round(LOUDEST_BINS * len(smooth))), dim=0).values.mean(dim=0)
