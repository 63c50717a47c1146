"""`model.xml` and `model.bin`: an exported model in OpenVINO's own form, its weights in float16.

It is half as large as `model.onnx`, and is read without ONNX. OpenVINO still computes in float32.
A model that half precision changes too much keeps its weights in float32.
"""

from collections.abc import Callable
from pathlib import Path

import openvino as ov
from torch import Tensor

from birdcore.inference.engine import EngineOutput
from birdcore.inference.onnx_file import CLIPWISE, FEATURES, FRAMEWISE, ONNX_FILE
from birdcore.inference.openvino_engine import SETTINGS

XML_FILE = "model.xml"


def save_openvino(folder: Path, *, half: bool) -> Callable[[Tensor], EngineOutput]:
    """Write `model.xml` and `model.bin` beside the `model.onnx` of a folder.

    Args:
        folder: A model's.
        half: Whether weights are rounded to float16.

    Returns:
        The model as it was written, to be compared with that it was made from.
    """
    ov.save_model(ov.convert_model(folder / ONNX_FILE), folder / XML_FILE, compress_to_fp16=half)
    request = ov.Core().compile_model(folder / XML_FILE, "CPU", SETTINGS).create_infer_request()

    def run(batch: Tensor) -> EngineOutput:
        outputs = request.infer({FEATURES: batch.numpy()})
        return EngineOutput(outputs[CLIPWISE].copy(), outputs[FRAMEWISE].copy())

    return run
