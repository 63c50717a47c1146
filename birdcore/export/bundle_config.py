"""`config.json` of a bundle: all that predicting needs beside models and arrays.

The script reads it without birdflow, as plain JSON: so all that it needs is written out here, also
what has a default. A change of meaning raises the format, which the script checks.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from birdcore.config import Predict
from birdcore.inference.after_prediction import Operations
from birdcore.inference.window_batches import CELL_FRAMES
from birdcore.json_file import read_json
from birdcore.models.normalise import Normalisation

CONFIG_FILE, ARRAYS_FILE, SCRIPT_FILE = "config.json", "front_end.npz", "predict.py"
FORMATS = (1, 2)
"""2 where there is a teacher, or something is done after prediction: scripts of format 1 don't know
these."""


def _is_empty(value: object) -> bool:
    return not value


class BundleFormat(BaseModel):
    """Of which version a bundle is: read first, since others have other keys."""

    format: int


class BundledModel(BaseModel):
    """One model of a bundle.

    Attributes:
        folder: Below the bundle; holds model.onnx, and model.xml with model.bin.
        frames: Of a window.
        normalise: How a window's decibels are scaled.
        top_db: Decibels below the window's maximum that are cut off; None: none.
        onnx_difference: By how much probabilities of model.onnx differ from torch's.
        openvino_difference: The same of model.xml.
        openvino_weights: Those of model.xml; float32 where half precision changes too much.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    frames: int
    normalise: Normalisation | Literal["floor"]
    top_db: float | None
    onnx_difference: float
    openvino_difference: float
    openvino_weights: Literal["float16", "float32"]


class BundledTeacher(BaseModel):
    """The teacher whose embeddings a bundle's heads read.

    Attributes:
        name, author, licence, url, citation: Whose work it is, under which terms.
        file: Its model, in the folder `teacher`.
        files: sha256 of that, and of the files of weights that it names.
        included: Whether they are in the bundle; else whoever predicts brings them.
        engines: Which of the script's engines compute what birdflow does with it.
        difference: By how much probabilities of the heads then differ from birdflow's.
        sample_rate: Samples a second that it reads, Hz.
        window_s, hop_s: Length of its windows, and from one to the next, seconds.
        frame_rate: Of the run's features: a recording has the rows that whole frames fill.
        shape, half, peak, embedding, label, scores, slope, intercept, limit: See `TeacherFile`.
        columns: For each class those of the teacher's that count for it, of which the maximum does.
        member: What the teacher is called where it is a member itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    author: str
    licence: str
    url: str
    citation: str
    file: str
    files: dict[str, str]
    included: bool
    engines: tuple[str, ...]
    difference: float
    sample_rate: int
    window_s: float
    hop_s: float
    frame_rate: float
    shape: tuple[int, ...]
    half: bool
    peak: float | None
    embedding: str
    label: str
    scores: Literal["logits", "probabilities"]
    slope: float
    intercept: float
    limit: float
    columns: tuple[tuple[int, ...], ...]
    member: str | None


class BundleConfig(BaseModel):
    """What a bundle holds and how it predicts.

    Attributes:
        front_end: Settings of the front end, with its name; its arrays are in front_end.npz. None
            where no member reads features.
        scale: Decibels of the lowest and highest code, and the codes' type; None likewise.
        predict: Windows, output and smoothing: the recipe's [predict].
        cell_frames: Frames for which one probability is kept.
        blend, power, weights: How members are blended.
        after_prediction: What is done with the blend, by columns; not there where nothing is.
        members: The models of each member that is networks; its folds are averaged.
        probes: The folders of each member's heads on the teacher's embeddings, likewise.
        teacher: Theirs.
        left_out: Members of the run with a weight that are not here: external teachers.
        classes: In the order of the models' outputs.
        licences: How many training recordings have each licence.
        threshold_precision: What the thresholds are for: of held-out recordings in which a class
            reaches its own, this share has it.
        thresholds: Of the ensemble before smoothing, by class; None where none is high enough.
            Empty where the run held nothing out. `model/calibration.json` has other precisions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = 1
    birdflow: str
    front_end: dict[str, Any] | None
    scale: dict[str, Any] | None
    divide_by_peak: Literal[True] = True
    predict: Predict
    cell_frames: int = CELL_FRAMES
    blend: Literal["mean", "power", "rank"]
    power: float
    weights: dict[str, float | list[float]]
    after_prediction: Operations | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    members: dict[str, tuple[BundledModel, ...]]
    probes: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=_is_empty)
    teacher: BundledTeacher | None = Field(default=None, exclude_if=_is_empty)
    left_out: tuple[str, ...] = ()
    classes: tuple[str, ...]
    licences: dict[str, int]
    threshold_precision: float = 0.9
    thresholds: dict[str, float | None] = {}

    @property
    def engines(self) -> tuple[str, ...]:
        """The packages that run all of it on Kaggle: a few teachers need ONNX Runtime."""
        openvino = self.teacher is None or "openvino" in self.teacher.engines
        return ("openvino",) if openvino else ("openvino", "onnxruntime")


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle, of whatever version."""
    return (folder / CONFIG_FILE).is_file() and (folder / SCRIPT_FILE).is_file()


def read_config(bundle: Path) -> BundleConfig:
    """What a bundle's config.json says.

    Raises:
        ValueError: It is of another version, or damaged.
    """
    path = bundle / CONFIG_FILE
    if (found := read_json(path, BundleFormat, "bundle").format) not in FORMATS:
        raise ValueError(
            f"{bundle} is a bundle of format {found}, this birdflow reads "
            f"{' and '.join(map(str, FORMATS))}: export its run again"
        )
    return read_json(path, BundleConfig, "bundle")
