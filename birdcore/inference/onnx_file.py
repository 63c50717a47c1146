"""`model.onnx`: a model that other runtimes read, and what it says of itself.

The graph has one input, `features` (B, C, F, T) as `model_input` gives them, and two outputs of
probabilities: `clipwise` (B, K) and `framewise` (B, T', K). B may be any number. Its metadata hold
the classes in the order of the outputs and the `InputSpec`, so that the file can be used alone, and
may say that bfloat16 is precise enough for this model.
"""

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from pydantic import TypeAdapter, ValidationError

from birdcore.models.input import InputSpec, load_input
from birdcore.models.sed import load_spec
from birdcore.text import first_error

ONNX_FILE, INT8_FILE = "model.onnx", "int8.onnx"
FEATURES, CLIPWISE, FRAMEWISE = "features", "clipwise", "framewise"
CLASSES_KEY, INPUT_KEY, VERSION_KEY = "classes", "input", "birdflow"
PRECISION_KEY = "precision"

Precision: TypeAlias = Literal["float32", "bf16"]
FLOAT32: Precision = "float32"
BF16: Precision = "bf16"

Classes: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


class OnnxDescription(NamedTuple):
    """What the file says of its model: the classes (K,), its input, who exported it, and what it
    may be computed in."""

    classes: tuple[str, ...]
    input_spec: InputSpec
    version: str
    precision: Precision = FLOAT32


def metadata_of(classes: tuple[str, ...], input_spec: InputSpec, version: str) -> dict[str, str]:
    """The file's metadata; `read_description` reads them."""
    return {
        CLASSES_KEY: Classes.dump_json(classes).decode(),
        INPUT_KEY: input_spec.model_dump_json(),
        VERSION_KEY: version,
    }


def read_description(path: Path) -> OnnxDescription:
    """What an exported model says of itself.

    Raises:
        ValueError: There is no such file, it is damaged, or it was not exported by birdflow.
    """
    # Not at the top: models that torch runs need no ONNX.
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ValueError(
            f"{path.parent} holds no exported model: there is no {path.name} in it. Choose the "
            "engine torch, or export the model (birdcore.inference.onnx.export_onnx)"
        )
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        # The checker's messages go over many lines, of which the first says what is wrong.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is damaged or no ONNX model: {reason}") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if not {CLASSES_KEY, INPUT_KEY, VERSION_KEY} <= metadata.keys():
        raise ValueError(f"{path} was not exported by birdflow: it does not name its {INPUT_KEY}")
    try:
        classes = Classes.validate_json(metadata[CLASSES_KEY])
        input_spec = InputSpec.model_validate_json(metadata[INPUT_KEY])
    except (ValidationError, TypeError) as error:
        reason = first_error(error) if isinstance(error, ValidationError) else str(error)
        exporter = f"birdflow {metadata[VERSION_KEY]}"
        raise ValueError(f"{path} ({exporter}) describes an unknown input: {reason}") from error
    precision = BF16 if metadata.get(PRECISION_KEY) == BF16 else FLOAT32
    return OnnxDescription(classes, input_spec, metadata[VERSION_KEY], precision)


def write_precision(path: Path, precision: Precision) -> None:
    """Say in an exported model what it may be computed in; the graph stays as it is."""
    import onnx

    model = onnx.load(path)
    described = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, described | {PRECISION_KEY: precision})
    onnx.save(model, path)


def checked_onnx(folder: Path) -> tuple[Path, OnnxDescription]:
    """The exported model of a folder, which belongs to the descriptions beside it, and its own.

    It is `int8.onnx` where a recipe asked for one, else `model.onnx`.

    Raises:
        ValueError: As `read_description`, or it is of another model than its folder.
    """
    int8 = folder / INT8_FILE
    path = int8 if int8.is_file() else folder / ONNX_FILE
    described = read_description(path)
    if described.classes != load_spec(folder).classes:
        raise ValueError(f"{path} is of another model than its folder: the classes differ")
    if described.input_spec != load_input(folder):
        raise ValueError(f"{path} is of another model than its folder: the inputs differ")
    return path, described
