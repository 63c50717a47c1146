"""Trained models outside of a run: what they need is stored beside them, and they predict files.

A run's results folder holds its ensemble:

    model/ensemble.json                      members, their weights, settings of prediction
    model/ROUND/BACKBONE/fold-0/             a member's model of each fold
        model.json, model.safetensors, input.json

`load_model` reads such a folder, or a folder with one model alone. What a model's inputs are made
of lies beside its weights, so that a folder of one model predicts as it does in the ensemble.
Predictions for a file are those that the run itself would have made of it: the same decoding, peak
division, coding, windows, smoothing, blend and what is done after prediction.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from birdcore.audio.blocks import Block, Blocks, cache_blocks
from birdcore.audio.decode import decode
from birdcore.audio.resample import resample_recording
from birdcore.config import Predict
from birdcore.config.external_teacher import EXTERNAL_TEACHER
from birdcore.features.codes_file import FiledRecording, file_codes
from birdcore.features.front_end import encode_recording, length_and_peak
from birdcore.features.recordings import Recordings
from birdcore.features.scale import Codes
from birdcore.inference.after_prediction import Operations, after_prediction
from birdcore.inference.engine import AUTO
from birdcore.inference.predict import (
    Predictor,
    load_predictors,
    predict_segments,
)
from birdcore.inference.predictions import Predictions
from birdcore.inference.smooth import smooth_recording
from birdcore.inference.weights import EnsembleWeights
from birdcore.inference.window_batches import Recording
from birdcore.json_file import read_json
from birdcore.models.input import INPUT_FILE, InputSpec, pick_device
from birdcore.models.sed import SPEC_FILE, WEIGHTS_FILE

FOLDER, ENSEMBLE_FILE = "model", "ensemble.json"
MODEL_FILES = (SPEC_FILE, WEIGHTS_FILE, INPUT_FILE)
"""What a folder of one model holds."""


class TeacherWindows(BaseModel):
    """Where a run with probes laid its teacher's windows, and how it counted rows.

    Attributes:
        hop_s: From one window to the next, seconds.
        frame_rate: Of the run's features, frames a second of a file: a recording has the rows that
            its whole frames fill.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hop_s: Annotated[float, Field(gt=0)]
    frame_rate: Annotated[float, Field(gt=0)]


class EnsembleSpec(EnsembleWeights):
    """The ensemble: all that prediction needs beside the folders of its models.

    Attributes:
        members: The folders of each member's models, below the file's own folder.
        probes: Those of members that are probes, which predict with their teacher alone.
        teacher: What the recipe calls that teacher; the member that begins so is the teacher
            itself.
        windows: The teacher's, where there are probes.
        predict: Windows, output and smoothing: the recipe's [predict].
        after_prediction: What is done with the blend; None where nothing is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    members: dict[str, tuple[str, ...]]
    probes: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
    teacher: str = Field(
        default=EXTERNAL_TEACHER, exclude_if=lambda value: value == EXTERNAL_TEACHER
    )
    windows: TeacherWindows | None = Field(default=None, exclude_if=lambda value: value is None)
    predict: Predict = Predict()
    after_prediction: Operations | None = Field(
        default=None, exclude_if=lambda value: value is None
    )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Members with a weight and no network here: external teachers, and heads on them."""
        return tuple(name for name in self.weights if name not in self.members)


@dataclass(frozen=True)
class TrainedModel:
    """An ensemble that is ready to predict recordings; one model is an ensemble of one.

    Attributes:
        spec: The ensemble; `spec.left_out` names members of the run that do not predict here.
        members: The models of each member that does.
    """

    spec: EnsembleSpec
    members: Mapping[str, Sequence[Predictor]]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes (K,)."""
        return self._first.model_spec.classes

    @property
    def input_spec(self) -> InputSpec:
        """What features the models read: those of a run have one front end and one scale."""
        return self._first.input_spec

    @property
    def _first(self) -> Predictor:
        return next(iter(self.members.values()))[0]

    def predict(
        self,
        recordings: Any,
        rate: int | None = None,
        *,
        long: bool = False,
        threshold: float = 0.0,
    ) -> pd.DataFrame:
        """Probabilities of all classes for each segment of one or more recordings.

        Args:
            recordings: A file (str or Path), mono samples (n,) as an array or a tensor, or a list
                of either. Where members are blended by rank, ranks are among all segments given.
            rate: Samples a second of samples, as the header of their file says it; by default
                that of the models.
            long: A row for each segment and class with a `confidence` of at least `threshold`,
                instead of a column for each class.
            threshold: See `long`.

        Returns:
            Columns recording, start and end (seconds), and one for each class; or, where `long`,
            recording, start, end, class, confidence.

        Raises:
            Rejected: A file cannot be decoded.
        """
        predictions = self.predictions(recordings, rate)
        return predictions.long(threshold) if long else predictions.wide()

    def predictions(self, recordings: Any, rate: int | None = None) -> Predictions:
        """As `predict`, as a typed table that `write_predictions` writes in any format."""
        many = isinstance(recordings, list | tuple)
        given = list(recordings) if many else [recordings]
        features = (
            Recording(self._features(recording, rate, number))
            for number, recording in enumerate(given)
        )
        names: list[str] = []
        numbers: list[str] = []
        ends = [np.zeros(0, np.int64)]
        tables = [np.zeros((len(self.members), 0, len(self.classes)))]
        members, predict = list(self.members.values()), self.spec.predict
        for number, segments in enumerate(predict_segments(members, features, predict)):
            names += [segments.recording] * len(segments.ends)
            numbers += [str(number)] * len(segments.ends)  # a file may be given twice
            ends.append(segments.ends)
            exact = segments.probabilities.astype(np.float64)
            tables.append(np.stack([smooth_recording(member, predict) for member in exact]))
        end_s = np.concatenate(ends).astype(np.float64)
        probabilities = np.zeros((0, len(self.classes)))
        if names:
            by_member = dict(zip(self.members, np.concatenate(tables, axis=1), strict=True))
            blended = self.spec.blended(by_member)
            if self.spec.after_prediction is not None:
                blended = after_prediction(blended, numbers, self.spec.after_prediction)
            probabilities = np.asarray(blended, np.float64)
        start_s = end_s - predict.segment_s
        return Predictions(tuple(names), start_s, end_s, self.classes, probabilities)

    def _features(self, recording: Any, rate: int | None, number: int) -> Recordings:
        if isinstance(recording, str | Path):
            audio = decode(Path(recording), self.input_spec.mel.reading)
            reads = self.input_spec.at_speed(audio.speed)
            return encoded(str(recording), audio.blocks, audio.true_rate, reads)
        samples, front_end = as_samples(recording), self.input_spec.mel
        true_rate = round(rate * front_end.speed) if rate else front_end.sample_rate
        name = f"recording {number}"
        return encoded(name, lambda: iter([samples]), true_rate, self.input_spec)


def as_samples(samples: ArrayLike | torch.Tensor) -> Block:
    """Mono samples of any kind of array or tensor as float32 (n,).

    Raises:
        ValueError: There is no sample, or more than one channel.
    """
    array = samples.detach().cpu().numpy() if isinstance(samples, torch.Tensor) else samples
    mono = np.asarray(array, np.float32)
    if mono.ndim != 1 or not mono.size:
        raise ValueError(
            f"samples have shape {mono.shape}: give mono samples (n,), such as the mean of channels"
        )
    return mono


def encoded(name: str, blocks: Blocks, rate: int, input_spec: InputSpec) -> Recordings:
    """One recording as the features that a run would cache of it.

    Args:
        name: What it is called.
        blocks: Mono samples in blocks (n,).
        rate: Their rate at the true speed, Hz; they are resampled to the front end's.
        input_spec: The features and their codes.
    """
    codes = np.concatenate(list(_codes(blocks, rate, input_spec)))
    device = pick_device()
    start, length = torch.zeros(1, dtype=torch.long), torch.tensor([len(codes)])
    return Recordings(
        (name,), torch.from_numpy(codes).to(device), start.to(device), length.to(device),
        input_spec.mel, input_spec.scale,
    )  # fmt: skip


def encoded_in_file(name: str, blocks: Blocks, rate: int, input_spec: InputSpec) -> FiledRecording:
    """As `encoded`, for a long recording: its codes are in a temporary file."""
    codes = _codes(blocks, rate, input_spec)
    return file_codes(name, codes, input_spec.mel, input_spec.scale, pick_device())


def _codes(blocks: Blocks, rate: int, input_spec: InputSpec) -> Iterator[Codes]:
    """Codes (t, F) of a recording, in blocks."""
    front_end = input_spec.mel
    at_rate = cache_blocks(resample_recording(blocks, rate, front_end.sample_rate))
    _, peak = length_and_peak(at_rate())
    return encode_recording(at_rate(), peak, front_end, input_spec.scale)


def load_model(path: str | Path, engine: str = AUTO, threads: int = 0) -> TrainedModel:
    """A trained model that predicts recordings.

    Where the run's ensemble has an external teacher, a warning says that it does not predict here:
    its model is not ours to copy. `spec.left_out` names it.

    Args:
        path: A run's results folder (`--out`), the `model` folder in it, or a folder with one
            model: an artifact of the stage `train`, or `model.json`, `model.safetensors` and
            `input.json`.
        engine: What runs the models, see `birdcore.inference.engine`.
        threads: How many cores they take; 0 for all.

    Raises:
        ValueError: The folder holds no model, or one of its files is damaged.

    Example:
        >>> model = load_model("out/run")  # doctest: +SKIP
        >>> model.predict("soundscape.ogg")  # doctest: +SKIP
    """
    folder = model_folder(path)
    if (folder / ENSEMBLE_FILE).is_file():
        return _load_ensemble(folder, engine, threads)
    predictors = load_predictors([folder], engine, threads=threads)
    spec = EnsembleSpec(weights={"model": 1.0}, members={"model": (".",)})
    return TrainedModel(spec, {"model": predictors})


def model_folder(path: str | Path) -> Path:
    """The folder of the model that a path names, as `load_model` understands it.

    Raises:
        ValueError: It holds no model.
    """
    folder = Path(path)
    for candidate in (folder / FOLDER, folder):
        if (candidate / ENSEMBLE_FILE).is_file():
            return candidate
    if not (folder / SPEC_FILE).is_file():
        raise ValueError(
            f"{folder} holds no model: give a run's results folder (--out), which has "
            f"{FOLDER}/{ENSEMBLE_FILE}, or a folder with {', '.join(MODEL_FILES)}"
        )
    return folder


def read_ensemble(folder: Path) -> EnsembleSpec:
    """The ensemble of a run's `model` folder.

    Raises:
        ValueError: The folder holds none, or its description is damaged.
    """
    return read_json(folder / ENSEMBLE_FILE, EnsembleSpec, "ensemble")


def _load_ensemble(folder: Path, engine: str, threads: int) -> TrainedModel:
    spec = read_ensemble(folder)
    if not spec.members:
        raise ValueError(
            f"{folder} holds no network, only {', '.join(spec.left_out)}: these predict with the "
            "external teacher, by `birdflow detect`"
        )
    if spec.left_out:
        warnings.warn(
            "of the run's ensemble these do not predict here, since an external teacher's windows "
            f"are others: {', '.join(spec.left_out)}. Predictions are those of the other members, "
            "so they differ from the run's own",
            stacklevel=3,
        )
    members = {
        name: load_predictors([folder / model for model in models], engine, threads=threads)
        for name, models in spec.members.items()
    }
    return TrainedModel(spec, members)
