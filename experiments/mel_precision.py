"""Which mels err where the kit's and birdflow's differ: each against the same sum in float64.

    python -m experiments.mel_precision FOLDER      # soundscapes at 32 kHz

Both transform in float32, birdflow by MKL, the kit by NumPy's pocketfft.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from birdcore.audio.decode import decode
from birdcore.export.front_end import front_end_arrays, front_end_settings
from birdcore.export.kit.front_ends import open_front_end
from birdcore.export.waveform_front_end import WaveformFrontEnd
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.scale import encode
from birdcore.features.spectrogram import filter_bank, hann_window, mel_energy

MINI = MelSpec(hop_length=1024, n_mels=64, f_min=1000.0, f_max=12500.0)


def in_float64(samples: np.ndarray, spec: MelSpec) -> np.ndarray:
    window, bank = (np.float64(a) for a in (hann_window(spec.n_fft), filter_bank(spec)))
    padded = np.pad(samples.astype(np.float64), spec.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    frames = frames[: spec.frames(len(samples))]
    parts = np.array_split(frames, -(-len(frames) // 256))
    return np.concatenate(
        [np.abs(np.fft.rfft(part * window)) ** spec.power @ bank for part in parts]
    )


def ways(spec: MelSpec) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    arrays, graph = front_end_arrays(spec, spec.scale()), WaveformFrontEnd(spec, spec.scale())
    return {
        "birdflow": lambda x: mel_energy(x, spec),
        "kit": lambda x: open_front_end(front_end_settings(spec), arrays).features(x),
        "single.onnx": lambda x: graph.energies(torch.from_numpy(x)[None])[0].numpy(),
    }


def main() -> None:
    files = sorted(Path(sys.argv[1]).glob("*.ogg"))
    for name, spec in {**PRESETS, "mini": MINI}.items():
        errors: dict[str, list[np.ndarray]] = {way: [] for way in ways(spec)}
        for path in files:
            samples = decode(path).samples
            samples = samples / np.abs(samples).max()
            exact = in_float64(samples, spec)
            kept = encode(exact.astype(np.float32), spec.power, spec.scale()) > 0
            for way, energies in ways(spec).items():
                ratio = np.float64(energies(samples)[kept]) / exact[kept]
                errors[way].append(np.abs(20 / spec.power * np.log10(ratio)))
        for way, parts in errors.items():
            error = np.concatenate(parts)
            share = (error > 1e-4).mean()
            print(f"{name:12} {way:12} {len(error):9} cells: {share:.1e} over 1e-4 dB, ", end="")
            print(f"mean {error.mean():.1e}, at most {error.max():.1e}")


if __name__ == "__main__":
    main()
