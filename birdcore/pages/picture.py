"""Pictures of spectrograms, as field guides print them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREYS = 24
"""More shades of grey enlarge the file and are not visible."""
WIDTH, HEIGHT = 360, 96
"""Maximum size of a picture in pixels, where nothing else is said."""


def spectrogram_png(
    decibels: NDArray[np.float32], most: tuple[int, int] = (WIDTH, HEIGHT)
) -> bytes:
    """A PNG, dark on light with low frequencies at the bottom.

    White is the lower half of the recording's own cells, black its loudest thousandth.

    Args:
        decibels: (frames, bins), from low to high frequencies.
        most: Width and height that it has at most, in pixels.
    """
    quiet, loud = np.quantile(decibels, [0.5, 0.999])
    shade = np.clip((decibels - quiet) / max(float(loud - quiet), 1e-6), 0, 1)
    steps = np.rint((1 - shade) * (GREYS - 1)) * (255 / (GREYS - 1))
    image = Image.fromarray(steps.astype(np.uint8).T[::-1])
    size = min(most[0], image.width), min(most[1], image.height)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    image.quantize(GREYS).save(file, "PNG", optimize=True)
    return file.getvalue()
