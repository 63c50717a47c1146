"""Draws front ends side by side on a recording: the picture of docs/front-ends.md.

    python -m benchmarks.front_ends_picture RECORDING START SECONDS OUT.png

Frames are 4 ms apart, so that it is seen what each resolves in time; models have 16 ms by default.
"""

import io
import sys
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw

from birdcore.audio.resample import resample
from birdcore.features import FRONT_ENDS
from birdcore.features.front_end import Floats, FrontEnd, front_end_class
from birdcore.pages.picture import spectrogram_png

SIZE = 560, 256
LEFT, TOP, GAP = 34, 20, 12
HOP, BINS = 128, 256
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)


def front_end(name: str) -> FrontEnd:
    """A front end by name, with frames of `HOP` samples and about `BINS` bins where it has them."""
    kind = front_end_class(name)
    known, wanted = kind().model_dump(), {"n_mels": BINS, "scales": BINS, "f_min": 100.0}
    wanted["hop_length"] = HOP
    return kind(**{key: value for key, value in wanted.items() if key in known})


def panel(samples: Floats, spec: FrontEnd) -> Image.Image:
    """Its picture of samples, with its name and some frequencies."""
    energies = np.concatenate([block.copy() for block in spec.energies([samples])])
    decibels = energies if not spec.recovers_power else 10 * np.log10(energies + 1e-9)
    drawn = Image.open(io.BytesIO(spectrogram_png(decibels.astype(np.float32), SIZE)))
    image = Image.new("L", (LEFT + drawn.width, TOP + drawn.height), 255)
    image.paste(drawn.convert("L"), (LEFT, TOP))
    draw = ImageDraw.Draw(image)
    draw.text((LEFT, 4), spec.name, fill=0)
    for hz in TICKS_HZ:
        share = np.interp(hz, spec.centres(), np.linspace(0, 1, spec.bins), left=-1)
        if share >= 0:
            y = TOP + round((1 - share) * (drawn.height - 1))
            draw.line((LEFT - 4, y, LEFT - 1, y), fill=0)
            draw.text((2, y - 5), f"{hz / 1000:g}k", fill=0)
    return image


def main(recording: Path, start: float, seconds: float, out: Path) -> None:
    rate = soundfile.info(recording).samplerate
    read, _ = soundfile.read(
        recording, round(seconds * rate), round(start * rate), dtype="float32", always_2d=True
    )
    samples = resample(read.mean(axis=1), rate, 32_000)
    specs = [front_end("mel"), *(front_end(name) for name in FRONT_ENDS if name != "mel")]
    peak = np.abs(samples).max()
    panels = [panel(samples / peak, spec) for spec in specs if not spec.recovers_wave]
    width, height = panels[0].width + GAP, panels[0].height + GAP
    image = Image.new("L", (2 * width, (len(panels) + 1) // 2 * height), 255)
    for place, each in enumerate(panels):
        image.paste(each, (place % 2 * width, place // 2 * height))
    image.save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
