"""Engines against torch on one machine: seconds of audio that each computes in a second.

Engines take turns within a round, so that all meet the same machine: compare within a backbone.
Torch is measured twice: eager as a model comes, and with channels last, as birdflow places models
for a CPU. OpenVINO is measured by one call at a time and by as many as it has streams, and in
bfloat16 too where the CPU computes in it.

python -m benchmarks.inference [BACKBONE...]
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from birdcore.config import Mel
from birdcore.inference.engine import ENGINES, Engine, TorchEngine, has_bf16
from birdcore.inference.onnx import export_onnx
from birdcore.inference.onnx_file import BF16, ONNX_FILE, write_precision
from birdcore.models.input import InputSpec, save_input
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model

INPUTS = {
    "resnet10t": (64, 157),
    "tf_efficientnet_b0": (128, 313),
    "tf_efficientnetv2_s": (128, 313),
}
"""Mel bins and frames of the window that each backbone is measured with."""

WINDOW_S = 5.0
BATCH, BATCHES, ROUNDS = 32, 4, 3


def exported(folder: Path, backbone: str) -> None:
    """An untrained model and its export: speed does not depend on weights."""
    n_mels, frames = INPUTS[backbone]
    mel = Mel(n_mels=n_mels).spec()
    spec = ModelSpec(backbone=backbone, classes=tuple(map(str, range(200))), n_mels=n_mels)
    reads = InputSpec(
        mel=mel, scale=mel.scale("uint8"), frames=frames, normalise="zscore", top_db=80.0
    )
    save_model(folder, SedModel(spec), spec)
    save_input(folder, reads)
    export_onnx(load_model(folder)[0], spec, reads, folder / ONNX_FILE)


def seconds(engine: Engine, batch: torch.Tensor, threads: int) -> float:
    """Wall time of `BATCHES` batches, called from so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(engine, [batch] * threads))  # each thread makes its request first
        start = time.perf_counter()
        list(pool.map(engine, [batch] * BATCHES))
        return time.perf_counter() - start


def main(backbones: list[str]) -> None:
    audio_s = WINDOW_S * BATCH * BATCHES
    print(f"{torch.get_num_threads()} cores; x real time of the machine, and times torch's")
    for backbone in backbones:
        with TemporaryDirectory() as folder:
            exported(Path(folder), backbone)
            engines = {name: opened(Path(folder)) for name, opened in ENGINES.items()}
            model = load_model(Path(folder))[0].eval()
            write_precision(Path(folder) / ONNX_FILE, BF16)
            in_bf16 = ENGINES["openvino"](Path(folder))
        paths: list[tuple[str, Engine, int]] = [
            ("torch eager", TorchEngine(model, torch.device("cpu")), 1)
        ]
        paths += [(name, engine, 1) for name, engine in engines.items()]
        paths.append(("openvino, streams", engines["openvino"], engines["openvino"].streams))
        if has_bf16():
            paths.append(("openvino, streams, bf16", in_bf16, in_bf16.streams))
        batch = torch.randn(BATCH, 1, *INPUTS[backbone])
        took = [
            [seconds(engine, batch, threads) for _, engine, threads in paths] for _ in range(ROUNDS)
        ]
        best = [min(times) for times in zip(*took, strict=True)]
        for (name, _, threads), value in zip(paths, best, strict=True):
            speed, ratio = audio_s / value, best[0] / value
            print(f"| {backbone} | {name} | {threads} | {speed:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(INPUTS))
