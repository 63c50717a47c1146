"""Model files as they are: what a file reads and gives by its own account, and its computation.

ONNX Runtime runs .onnx, LiteRT runs .tflite. Both give the same `Graph`, so whatever fits a
description to a model (`file_teacher.py`) is written once. To add a format, list how it is opened
in `FORMATS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from birdcore.text import plain_text

Shape: TypeAlias = tuple[int | None, ...]
"""None where a dimension may have any length."""
Array: TypeAlias = NDArray[Any]

INTERPRETER = "ai_edge_litert"


@dataclass(frozen=True)
class Graph:
    """A model that is ready to compute, for one thread at a time.

    Attributes:
        inputs: What it reads, by name.
        dtype: Of its first input.
        outputs: What it gives: names of it.
        run: From an array for its first input and names of outputs to these outputs.
        tensors: What outputs are called in the graph, where they have another name for people.
    """

    inputs: Mapping[str, Shape]
    dtype: np.dtype[Any]
    outputs: Sequence[str]
    run: Callable[[Array, Sequence[str]], Sequence[Array]]
    tensors: Mapping[str, str] = field(default_factory=dict)


def open_graph(path: Path, threads: int) -> Graph:
    """The model of a file.

    Raises:
        ValueError: There is no such file, it is damaged, or nothing here runs it; in one line.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: a teacher's file ends in {' or '.join(FORMATS)}")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    kind, open_it = FORMATS[path.suffix.lower()]
    try:
        return open_it(path, threads)
    except ImportError as error:
        raise ValueError(
            f"{path}: needs the package {error.name}, which is not installed: "
            "pip install 'birdflow[birdnet]'"
        ) from None
    except Exception as error:  # runtimes have no common base of their errors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path}: damaged or no {kind} model: {plain_text(reason).replace(str(path), 'it')}"
        ) from error


def _open_onnx(path: Path, threads: int) -> Graph:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # By default it pins its threads, and several processes all to the same cores.
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings are about the file of somebody else
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    half = inputs[0].type == "tensor(float16)"

    def run(array: Array, names: Sequence[str]) -> Sequence[Array]:
        outputs: Sequence[Array] = session.run(list(names), {inputs[0].name: array})
        return outputs

    return Graph(
        {one.name: tuple(n if isinstance(n, int) else None for n in one.shape) for one in inputs},
        np.dtype(np.float16 if half else np.float32),
        [one.name for one in session.get_outputs()],
        run,
    )


def _open_tflite(path: Path, threads: int) -> Graph:
    if find_spec(INTERPRETER) is None:
        raise ModuleNotFoundError(name="ai-edge-litert")
    interpreter = import_module(f"{INTERPRETER}.interpreter").Interpreter(
        model_path=str(path), num_threads=threads
    )
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    # Names for people are those of the signature, where there is one.
    signatures = interpreter.get_signature_list()
    tensors = {one["name"]: one["index"] for one in interpreter.get_output_details()}
    names = {index: name for name, index in tensors.items()}
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        tensors |= {name: one["index"] for name, one in runner.get_output_details().items()}
    shape = [tuple(inputs[0]["shape"].tolist())]

    def run(array: Array, names: Sequence[str]) -> Sequence[Array]:
        if array.shape != shape[0]:
            interpreter.resize_tensor_input(inputs[0]["index"], array.shape)
            interpreter.allocate_tensors()
            shape[0] = array.shape
        interpreter.set_tensor(inputs[0]["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(tensors[name]) for name in names]

    return Graph(
        {
            one["name"]: tuple(n if n >= 0 else None for n in one["shape_signature"].tolist())
            for one in inputs
        },
        np.dtype(inputs[0]["dtype"]),
        list(tensors),
        run,
        {name: names[index] for name, index in tensors.items() if index in names},
    )


FORMATS: Mapping[str, tuple[str, Callable[[Path, int], Graph]]] = {
    ".onnx": ("ONNX", _open_onnx),
    ".tflite": ("TFLite", _open_tflite),
}
"""What a format is called and how a file of it is opened, by the file's ending."""
