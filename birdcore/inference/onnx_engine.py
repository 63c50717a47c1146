"""ONNX Runtime: exported models on CPUs for which OpenVINO has no wheel."""

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from birdcore.inference.engine import EngineOutput
from birdcore.inference.onnx_file import CLIPWISE, FEATURES, FRAMEWISE, checked_onnx


class OnnxEngine:
    """The exported model of a folder; threads may call it at once.

    Args:
        folder: Where `model.onnx` is.
        threads: How many cores a call takes; 0 for all.

    Raises:
        ValueError: There is no `model.onnx`, it is damaged or of another model.
    """

    device = torch.device("cpu")
    streams = 1  # an operator uses all cores by itself
    torch_threads = 1

    def __init__(self, folder: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        # By default it pins its threads, and several processes all to the same cores; given a
        # number it does not.
        options.intra_op_num_threads = threads or torch.get_num_threads()
        path, _ = checked_onnx(folder)
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base of their own
            raise ValueError(f"ONNX Runtime can't run {path}: {error}") from error

    def __call__(self, batch: Tensor) -> EngineOutput:
        inputs = {FEATURES: batch.numpy()}
        clipwise, framewise = self._session.run([CLIPWISE, FRAMEWISE], inputs)
        return EngineOutput(clipwise, framewise)
