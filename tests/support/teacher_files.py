"""A small teacher of ours as files, in every form that a model of others may have.

It reads windows of `SAMPLES` samples: their `WIDTH` first coefficients of a cosine transform are
the embedding, and a matrix makes logits of classes of it.
"""

from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE, SECONDS, WIDTH = 4_000, 0.5, 6
SAMPLES = round(RATE * SECONDS)
CLASSES = ("Parus major", "Turdus merula", "Gryllus bimaculatus", "Gryllus campestris")
DESCRIPTION = f"""\
name = "Cosines"
file = "cosines.onnx"
labels = "labels.txt"
sample_rate = {RATE}
window_s = {SECONDS}
embedding = "embedding"
label = "label"
scores = "logits"
licence = "CC BY-NC 4.0"
author = "Nobody"
"""


def weights() -> tuple[np.ndarray, np.ndarray]:
    """From samples to the embedding, and from that to logits."""
    time = (np.arange(SAMPLES) + 0.5) / SAMPLES
    cosines = np.cos(np.pi * np.outer(time, 20 * np.arange(1, WIDTH + 1))).astype(np.float32)
    mixed = np.random.default_rng(0).normal(size=(WIDTH, len(CLASSES))).astype(np.float32)
    return cosines, mixed / 10


def answers(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and embeddings (N, WIDTH) of windows, by numpy."""
    cosines, mixed = weights()
    embeddings = waves @ cosines
    return embeddings @ mixed, embeddings


def write_onnx(
    path: Path,
    batch: int | str | None = "n",
    *,
    channels: bool = False,
    half: bool = False,
    samples: int | str = SAMPLES,
    by_time: bool = False,
    nan: bool = False,
    probabilities: bool = False,
) -> Path:
    """The teacher as ONNX.

    Args:
        path: Where it is written.
        batch: Windows at once: a number, any ("n"), or no axis of them (None).
        channels: Windows are (1, N), not (N,).
        half: Input and outputs are float16.
        samples: What the input says that its windows are long.
        by_time: Embeddings are (1, WIDTH) for each window.
        nan: A window without power has no numbers.
        probabilities: A sigmoid is in the graph.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    axes = [] if batch is None else [batch]
    shape = [*axes, *([1] if channels else []), samples]
    nodes = [
        helper.make_node("Cast", ["waves"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "flat"], ["windows"]),
        helper.make_node("MatMul", ["windows", "cosines"], ["a"]),
    ]
    if nan:
        power = helper.make_node("ReduceSumSquare", ["windows"], ["p"], axes=[1], keepdims=1)
        unit = helper.make_node("Div", ["p", "p"], ["one"])
        nodes += [power, unit, helper.make_node("Mul", ["a", "one"], ["b"])]
    else:
        nodes.append(helper.make_node("Identity", ["a"], ["b"]))
    nodes.append(helper.make_node("MatMul", ["b", "mixed"], ["logits"]))
    nodes.append(helper.make_node("Sigmoid" if probabilities else "Identity", ["logits"], ["c"]))
    last = [*axes, *([1] if by_time else []), WIDTH]
    for before, name in (("b", "embedding"), ("c", "label")):
        nodes.append(helper.make_node("Reshape", [before, f"{name} shape"], [f"{name} float"]))
        nodes.append(helper.make_node("Cast", [f"{name} float"], [name], to=kind))
    cosines, mixed = weights()
    constants = {
        "flat": np.array([-1, SAMPLES]),
        "cosines": cosines,
        "mixed": mixed,
        "embedding shape": np.array([-1, *last[1:]] if axes else last),
        "label shape": np.array([-1, len(CLASSES)] if axes else [len(CLASSES)]),
    }
    graph = helper.make_graph(
        nodes,
        "cosines",
        [helper.make_tensor_value_info("waves", kind, shape)],
        [
            helper.make_tensor_value_info("embedding", kind, last),
            helper.make_tensor_value_info("label", kind, [*axes, len(CLASSES)]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def write_tflite(path: Path, *, named: bool) -> Path:
    """The teacher as TFLite, a window at a time: two fully connected layers.

    Args:
        path: Where it is written.
        named: Its outputs have names of their own in a signature, as converters write them.
    """
    flatbuffers = import_module("flatbuffers")
    schema = import_module("ai_edge_litert.schema_py_generated")
    cosines, mixed = weights()
    buffers = [schema.BufferT()]
    tensors = []

    def tensor(name: str, shape: tuple[int, ...], data: np.ndarray | None = None) -> int:
        one = schema.TensorT()
        one.name, one.shape, one.type = name.encode(), list(shape), schema.TensorType.FLOAT32
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            buffers.append(buffer)
            one.buffer = len(buffers) - 1
        tensors.append(one)
        return len(tensors) - 1

    waves = tensor("waves", (1, SAMPLES))
    embedding = tensor("embedding" if not named else "StatefulPartitionedCall:0", (1, WIDTH))
    label = tensor("label" if not named else "StatefulPartitionedCall:1", (1, len(CLASSES)))
    operators = []
    for reads, matrix, gives in ((waves, cosines, embedding), (embedding, mixed, label)):
        operator = schema.OperatorT()
        stored = tensor(f"weights {gives}", matrix.T.shape, matrix.T)
        operator.inputs, operator.outputs = [reads, stored, -1], [gives]
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        operators.append(operator)
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = tensors, operators
    graph.inputs, graph.outputs = [waves], [embedding, label]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], buffers, [code]
    if named:
        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.inputs = [_named(schema, "inputs", waves)]
        signature.outputs = [_named(schema, "embedding", embedding), _named(schema, "label", label)]
        model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return path


def _named(schema: object, name: str, index: int) -> object:
    one = schema.TensorMapT()  # type: ignore[attr-defined]
    one.name, one.tensorIndex = name.encode(), index
    return one


def write_teacher(folder: Path, text: str = "", **form: object) -> Path:
    """A description with its files; `text` is added to the description."""
    write_onnx(folder / "cosines.onnx", **form)  # type: ignore[arg-type]
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    path = folder / "cosines.toml"
    path.write_text(DESCRIPTION + text)
    return path
