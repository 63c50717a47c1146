"""Models and teachers by OpenVINO or ONNX Runtime."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from birdcore.export.kit.base import Floats, Model, Refused

T = TypeVar("T")


def open_openvino(folder: Path) -> Model:
    """A model by OpenVINO."""
    import openvino

    return _compiled(openvino.Core().read_model(folder / "model.xml"), ("clipwise", "framewise"))


def open_onnx(folder: Path) -> Model:
    """A model by ONNX Runtime."""
    return _session(folder / "model.onnx", ("clipwise", "framewise"))


def teacher_by_openvino(path: Path, teacher: Mapping[str, Any]) -> Model:
    """A teacher's file by OpenVINO, which reads TFLite too."""
    import openvino

    core = openvino.Core()
    try:
        model = core.read_model(path)
    except RuntimeError:
        if path.suffix.lower() != ".tflite":
            raise
        from openvino.frontend import ConversionExtension

        core.add_extension(ConversionExtension("RFFT2D", _real_spectrum))
        model = core.read_model(path)
    model.reshape(list(teacher["shape"]))
    given = {name for output in model.outputs for name in output.names}
    names = (teacher["label"], teacher["embedding"])
    for name in names:
        if name not in given:  # BirdNET's embedding is what its last layer reads
            model.add_outputs(name)
    return _compiled(model, names)


def teacher_by_onnx(path: Path, teacher: Mapping[str, Any]) -> Model:
    """A teacher's file by ONNX Runtime."""
    return _session(path, (teacher["label"], teacher["embedding"]))


def _real_spectrum(node: Any) -> Any:
    """TFLite's RFFT2D over one axis, which OpenVINO lacks, of models that read its real part alone:
    so does BirdNET. Whoever exports a bundle compares what comes out."""
    from openvino import opset13 as ops

    *others, length = node.get_input(1).get_node().data
    if any(other != 1 for other in others):
        raise ValueError("RFFT2D over two axes")
    spectrum = ops.rdft(node.get_input(0), ops.constant([-1]), ops.constant([int(length)]))
    return ops.gather(spectrum, ops.constant(0), ops.constant(-1)).outputs()


def _compiled(model: Any, names: Sequence[str]) -> Model:
    """A model that OpenVINO has read; each thread has a request of its own."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the CPU has it
        "ENABLE_CPU_PINNING": False,  # else several processes take the same cores
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    of_thread = threading.local()

    def run(batch: Floats) -> tuple[Floats, Floats]:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        outputs = of_thread.request.infer([batch])
        first, second = (outputs[name].copy() for name in names)
        return first, second

    return run


def _session(path: Path, names: Sequence[str]) -> Model:
    """A file by ONNX Runtime; threads share one session, in which each computes alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    reads = session.get_inputs()[0].name

    def run(batch: Floats) -> tuple[Floats, Floats]:
        first, second = session.run(list(names), {reads: batch})
        return first, second

    return run


ENGINES: dict[str, Callable[[Path], Model]] = {"openvino": open_openvino, "onnx": open_onnx}
TEACHER_ENGINES: dict[str, Callable[[Path, Mapping[str, Any]], Model]] = {
    "openvino": teacher_by_openvino,
    "onnx": teacher_by_onnx,
}
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}


def by_first_engine(names: Iterable[str], open_by: Callable[[str], T], where: Path) -> T:
    """What is opened by the first of some engines that is installed."""
    reasons: dict[str, str] = {}
    for name in names:
        try:
            return open_by(name)
        except ImportError as error:
            reasons[PACKAGES[name]] = str(error)
        except Exception as error:  # each engine has errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise Refused(f"{where}: {name} can't open its models: {reason.strip()}") from error
    raise Refused(f"no engine: install {' or '.join(reasons)} ({'; '.join(reasons.values())})")
