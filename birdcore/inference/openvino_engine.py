"""OpenVINO: exported models on CPUs.

For throughput it runs streams side by side, each on few cores: one call occupies one stream, and
the machine is busy only while as many calls run at once as there are streams. It computes in
bfloat16 only for models of which that is known to be precise enough.
"""

import threading
from pathlib import Path

import openvino as ov
import torch
from torch import Tensor

from birdcore.inference.engine import EngineOutput, has_bf16
from birdcore.inference.onnx_file import BF16, CLIPWISE, FEATURES, FRAMEWISE, checked_onnx

SETTINGS = {
    "PERFORMANCE_HINT": "THROUGHPUT",
    # By default it computes in bfloat16 where the CPU has it, and probabilities differ by 1e-3.
    "INFERENCE_PRECISION_HINT": "f32",
    # Pinned, several processes on one machine would all choose the same cores.
    "ENABLE_CPU_PINNING": False,
}


class OpenVinoEngine:
    """The exported model of a folder; threads may call it at once.

    Args:
        folder: Where `model.onnx` is.
        threads: How many cores all calls together take; 0 for all.

    Raises:
        ValueError: There is no `model.onnx`, it is damaged or of another model.
    """

    device = torch.device("cpu")
    torch_threads = 1

    def __init__(self, folder: Path, threads: int = 0) -> None:
        path, described = checked_onnx(folder)
        settings = SETTINGS | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        if described.precision == BF16 and has_bf16():
            settings["INFERENCE_PRECISION_HINT"] = "bf16"
        try:
            self._compiled = ov.Core().compile_model(path, "CPU", settings)
        except RuntimeError as error:
            raise ValueError(f"OpenVINO can't run {path}: {error}") from error
        self._of_thread = threading.local()

    @property
    def streams(self) -> int:
        return int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def __call__(self, batch: Tensor) -> EngineOutput:
        outputs = self._request().infer({FEATURES: batch.numpy()})
        # Copied, since the request's own arrays are overwritten by the thread's next call.
        return EngineOutput(outputs[CLIPWISE].copy(), outputs[FRAMEWISE].copy())

    def _request(self) -> ov.InferRequest:
        """The calling thread's: a request computes one batch at a time."""
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._compiled.create_infer_request()
        request: ov.InferRequest = self._of_thread.request
        return request
