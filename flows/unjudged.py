"""What a run has predicted of recordings that somebody annotated in part, and nobody has judged.

A verdict is of one class and some seconds. The rest of its recording is what teachers label and
people have not heard: it is reviewed like other soundscapes, by the rule that training goes by.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from birdcore.audio.channels import file_of
from birdcore.sources.annotated import AnnotatedRecordings

RATE = 100.0
"""Steps a second in which windows and annotations are placed: 10 ms."""
LONGEST = 1 << 40
"""Steps of a recording of unknown length."""


def unjudged(
    cells: pd.DataFrame, classes: Sequence[str], annotated: AnnotatedRecordings
) -> pd.DataFrame:
    """The cells of which nobody says anything: neither of the class there nor of the whole window.

    Args:
        cells: As `cells_above` gives them.
        classes: What their labels are of (K,).
        annotated: The catalogue's.
    """
    import torch

    from birdcore.config.training import AnnotatedCrops
    from birdcore.training.event_labels import event_labels

    row, files = pd.factorize(cells["recording"].map(file_of))
    lengths = torch.full((len(files),), LONGEST)
    events = event_labels(list(files), lengths, RATE, annotated, classes, AnnotatedCrops())
    start_s, end_s = (cells[name].to_numpy() * RATE for name in ("start_s", "end_s"))
    offsets = torch.from_numpy(np.rint(start_s)).long()
    frames = torch.from_numpy(np.rint(end_s)).long() - offsets
    judged = events.judged(torch.from_numpy(row), offsets, frames)
    column = torch.from_numpy(cells["label"].to_numpy(np.int64, copy=True))
    return cells.loc[~judged[torch.arange(len(cells)), column].numpy()]
