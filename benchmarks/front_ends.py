"""Front ends against mel: processor time for the same bins, hop and rate, in one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.front_ends [DEVICE | kit]

Without OMP_NUM_THREADS=1 a mel's products of matrices take all cores, and wait in processor time.
Each is measured in turn with the others, in CPU time of the process, so that what else runs on the
machine is shared out; compare ratios. DEVICE, such as cuda, has wavelets computed there in batches
as well, in seconds by the clock. `kit` measures those of a bundle's predict.py, in NumPy, instead.
"""

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch

from birdcore.export.front_end import front_end_arrays, front_end_settings
from birdcore.export.kit.front_ends import open_front_end
from birdcore.features import FRONT_ENDS
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import Floats, FrontEnd, front_end_class
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.features.superlet import SuperletSpec
from birdcore.features.wavelets import wavelet_blocks

LENGTHS_S = (5, 60)
ROUNDS = 9
BATCH = 64
"""Blocks of two seconds that go to a device at once."""

Way = Callable[[Floats], Iterable[Floats]]
"""From samples to blocks of features."""

VARIANTS: dict[str, FrontEnd] = {
    "stft, 128 bands": StftSpec(n_mels=128),
    "cwt, 8 cycles": CwtSpec(cycles=8),
    "cwt, 40 cycles": CwtSpec(cycles=40),
    "superlet, order 2": SuperletSpec(order=2),
    "superlet, order 2.5": SuperletSpec(order=2.5),
    "superlet, order 8": SuperletSpec(order=8),
}
"""Beside every front end as it is by default; that is of 128 bins but for stft."""


def exhaust(of: Callable[[], Iterable[Floats]], clock: Callable[[], float]) -> float:
    """Seconds until all blocks have come."""
    start = clock()
    for _ in of():
        pass
    return clock() - start


def of_birdflow(spec: FrontEnd) -> Way:
    return lambda samples: spec.energies([samples])


def of_the_kit(spec: FrontEnd) -> Way:
    settings, arrays = front_end_settings(spec), front_end_arrays(spec, spec.scale("uint8"))
    features = open_front_end(settings, arrays).features
    return lambda samples: [features(samples)]


def compare(seconds: int, ways: dict[str, Way], rng: np.random.Generator) -> None:
    samples = rng.uniform(-1, 1, seconds * 32_000).astype(np.float32)
    shortest = dict.fromkeys(ways, np.inf)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            took = exhaust(partial(way, samples), time.process_time)
            shortest[name] = min(shortest[name], took)
    print(f"\n{seconds} s at 32 kHz\n")
    print("| front end | ms a second | x RT | mel's time |\n|---|---|---|---|")
    for name, took in shortest.items():
        each = took / seconds
        print(f"| {name} | {1000 * each:.2f} | {1 / each:,.0f} | {took / shortest['mel']:.2f} |")


def on_device(device: str, rng: np.random.Generator) -> None:
    seconds = 600
    samples = rng.uniform(-1, 1, seconds * 32_000).astype(np.float32)
    for spec in (CwtSpec(), SuperletSpec()):
        run = partial(wavelet_blocks, [samples], spec, device=device, batch=BATCH)
        took = min(exhaust(run, time.perf_counter) for _ in range(3))
        print(f"{spec.name} on {device}, batches of {BATCH}: {seconds / took:,.0f} x RT")


if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    every = {name: front_end_class(name)() for name in FRONT_ENDS}
    kit = sys.argv[1:] == ["kit"]
    by_default = {name: spec for name, spec in every.items() if kit or not spec.recovers_wave}
    both = {"mel and cwt": Stacked((every["mel"], every["cwt"]))} if kit else {}
    measured = {
        name: of_the_kit(spec) if kit else of_birdflow(spec)
        for name, spec in (by_default | VARIANTS | both).items()
    }
    for length in LENGTHS_S:
        compare(length, measured, generator)
    for argument in () if kit else sys.argv[1:]:
        on_device(argument, generator)
