"""Exported models whose convolutions and matrices are computed in 8-bit integers.

They are a quarter as large, and faster on CPUs with instructions for them (AVX512-VNNI, AMX); on
others they may be slower. What precision costs shows on recordings alone, so whoever makes one
compares it with the model that it was made from, on recordings that did not train it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from birdcore.inference.onnx_file import FEATURES

QUANTIZED = ["Conv", "Gemm", "MatMul"]
"""All else stays in float32: sums, sigmoids and the head's logarithms lose most by integers."""


def quantize(source: Path, batches: Sequence[Tensor], target: Path) -> None:
    """Write an exported model with 8-bit weights and activations.

    Args:
        source: A `model.onnx`.
        batches: Inputs (B, C, F, T) of real recordings, which say how large activations become.
        target: Path of the new file.

    Raises:
        ValueError: There is no batch.
    """
    if not batches:
        raise ValueError("integers have no scale without recordings to take it from")
    with TemporaryDirectory() as folder, _quiet():
        # Folds batch norms into convolutions, whose scale they are.
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantized = Path(folder) / "int8.onnx"
        quantize_static(
            str(prepared),
            str(quantized),
            _Batches(batches),
            quant_format=QuantFormat.QDQ,  # the form that OpenVINO reads too
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=QUANTIZED,
        )
        model = onnx.load(quantized)
    described = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
    onnx.helper.set_model_props(model, described)
    onnx.save(model, target)


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    def __init__(self, batches: Sequence[Tensor]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._left, None)
        return None if batch is None else {FEATURES: batch.numpy()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without ONNX Runtime's notes on the root logger: on each bias that is no constant."""
    root = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in record.pathname

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
