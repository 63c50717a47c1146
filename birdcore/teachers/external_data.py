"""Files beside an ONNX model in which its weights are.

Exporters put weights of large models outside of the graph, which names their files: `model.onnx`
may need `model.onnx.data`, `model.onnx_data` or `weights.bin`. They decide what the model says as
much as its own file does, so their contents are part of keys.
"""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from birdcore.text import plain_text


def external_data(path: Path) -> tuple[Path, ...]:
    """The files that the graph of a model names, by name; none of a model that is not .onnx.

    Reading the graph takes a third of the time that ONNX Runtime takes to open it.

    Raises:
        ValueError: It is damaged, or names a file that is missing or not in its folder.
    """
    if path.suffix.lower() != ".onnx":
        return ()
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise ValueError(f"{path}: damaged or no ONNX model: {plain_text(str(error))}") from error
    locations = {
        entry.value
        for tensor in _tensors(model, onnx.TensorProto)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(_file(path, location) for location in sorted(locations))


def _tensors(message: Any, kind: type) -> Iterator[Any]:
    """All tensors in a message of protobuf: of graphs, of graphs in nodes, of functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in [value] if hasattr(value, "ListFields") else value:
            if isinstance(each, kind):
                yield each
            else:
                yield from _tensors(each, kind)


def _file(path: Path, location: str) -> Path:
    where = f"{path}: has weights in {plain_text(location)!r}, "
    windows = PureWindowsPath(location)  # it splits at both kinds of slashes
    if not location or windows.anchor or ".." in windows.parts:
        raise ValueError(f"{where}which is not in its folder: save it with its weights beside it")
    file = path.parent / location
    if not file.is_file():
        raise ValueError(f"{where}and there is no such file: it belongs beside the model")
    return file
