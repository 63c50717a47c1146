"""Probabilities over a recording of any length, from windows that overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from birdcore.artifact import Artifact
from birdcore.mel.recordings import Recordings, read_mels
from birdcore.model.head import SedOutput
from birdcore.model.input import InputSpec, load_input, model_input, pick_device
from birdcore.model.sed import ModelSpec, SedModel, load_model, place_model
from birdcore.predict.windows import average_overlaps, window_starts
from birdcore.recipe import Output

BATCH = 64
CELL_FRAMES = 8
"""Probabilities are kept for every eighth frame: a backbone answers more coarsely than that."""

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Listener:
    """A trained model, with what it reads."""

    model: SedModel
    shape: ModelSpec
    reads: InputSpec


def load_listeners(models: Sequence[Artifact]) -> list[Listener]:
    device = pick_device()
    listeners = []
    for artifact in models:
        model, shape = load_model(artifact.folder)
        listeners.append(
            Listener(place_model(model, device).eval(), shape, load_input(artifact.folder))
        )
    return listeners


def read_soundscapes(shard: Path) -> Recordings:
    return read_mels([shard], pick_device())


def duration_s(soundscapes: Recordings, row: int) -> float:
    """Seconds of a recording, to a frame; one of a single frame lasts that frame."""
    frames = int(soundscapes.lengths[row])
    return max(frames - 1, 1) / soundscapes.spec.frame_rate


def cell_rate(soundscapes: Recordings) -> float:
    """Probabilities a second that `listen` gives."""
    return soundscapes.spec.frame_rate / CELL_FRAMES


def listen(
    listener: Listener,
    soundscapes: Recordings,
    row: int,
    step_s: float,
    output: Output = "framewise",
) -> Probabilities:
    """Probabilities (cells, K) of one recording, each the mean over the windows that cover it.

    A window says of a moment what its frames there say, or (clipwise) what its attention makes of
    all of it, or the mean of the two (both). Windows are as long as the model's round says.
    Raises ValueError where the model learnt another mel.
    """
    if listener.reads.mel != soundscapes.spec:
        raise ValueError("the model learnt another mel than the soundscapes are cached in")
    frames = int(soundscapes.lengths[row])
    window = listener.reads.frames
    step = min(window, max(1, round(step_s * soundscapes.spec.frame_rate)))
    starts = window_starts(frames, window, step)
    offsets = torch.from_numpy(starts).to(soundscapes.device)
    heard, over_floor = [], listener.reads.over_floor
    with torch.inference_mode():
        for some in offsets.split(BATCH):
            power = soundscapes.power(
                torch.full_like(some, row), some, window, with_floor=over_floor
            )
            said = listener.model(model_input(power, listener.reads))
            heard.append(_outputs(said, output).cpu())
    windows = torch.cat(heard).transpose(1, 2).numpy()
    return average_overlaps(windows, starts, window, frames, CELL_FRAMES)


def _outputs(said: SedOutput, output: Output) -> Tensor:
    """What windows say of their moments, (W, K, T); T is 1 where it is of all of a window."""
    clip, frames = said.clipwise.float()[:, :, None], said.framewise_logit.float().sigmoid()
    return {"framewise": frames, "clipwise": clip, "both": (clip + frames) / 2}[output]
