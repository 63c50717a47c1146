"""A spectrogram as a small picture, as field guides print them: dark on light, low notes below."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREYS = 24
"""Fewer greys make a smaller file; more are not seen."""
WIDTH, HEIGHT = 360, 96
"""Pixels of a picture, at most."""


def picture(decibels: NDArray[np.float32]) -> str:
    """A PNG as a `data:` address, from a mel (frames, n_mels) in decibels.

    White is the lower half of the recording's own cells, black its loudest thousandth.
    """
    quiet, loud = np.quantile(decibels, [0.5, 0.999])
    shade = np.clip((decibels - quiet) / max(float(loud - quiet), 1e-6), 0, 1)
    steps = np.rint((1 - shade) * (GREYS - 1)) * (255 / (GREYS - 1))
    image = Image.fromarray(steps.astype(np.uint8).T[::-1])
    size = min(WIDTH, image.width), min(HEIGHT, image.height)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX).quantize(GREYS)
    else:
        image = image.quantize(GREYS)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
