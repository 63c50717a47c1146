"""One file with a run in it against the run, on windows of real recordings."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import openvino as ov

from birdcore.audio.decode import decode
from birdcore.config import Predict
from birdcore.export.single_onnx import write_single_onnx
from birdcore.features.front_end import FrontEnd
from birdcore.inference.trained_model import load_model
from tests.support.small_run import write_run


def real_windows(shared_data: Path, seconds: float, count: int) -> np.ndarray:
    """Windows (B, n) of real soundscapes at 32 kHz."""
    files = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[:2]
    size = round(seconds * 32_000)
    starts = range(0, (count + 1) * size, size)
    return np.stack(
        [decode(path).samples[a:b] for path in files for a, b in pairwise(starts)]
    ).astype(np.float32)


def check_single_onnx(
    tmp_path: Path, shared_data: Path, front_end: FrontEnd, normalise: str
) -> None:
    """Export a small run that reads this front end: by two runtimes the file predicts as it."""
    run, name = tmp_path / "out", "x/one/fold-0"
    wave = front_end.recovers_wave
    write_run(
        run, {"x/one": [name]}, {"x/one": 1.0}, Predict(output="both"), front_end=front_end,
        backbone="conv_wave" if wave else "test_resnet", normalise=normalise,
        frames=96 if wave else 313,  # of which a GRU is traced one by one
    )  # fmt: skip
    path = tmp_path / "single.onnx"
    assert write_single_onnx(run, path) < 1e-3
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    seconds = float(session.get_modelmeta().custom_metadata_map["sample_duration"])
    windows = real_windows(shared_data, seconds, 3)
    probabilities, _ = session.run(None, {"samples": windows})
    expected = load_model(run, "torch").predictions(list(windows)).probabilities
    assert np.ptp(expected) > 0.02
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    by_openvino = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(by_openvino(windows)["probabilities"], probabilities, atol=1e-3)
