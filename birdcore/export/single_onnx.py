"""`single.onnx`: a run's ensemble with its front end in one file, for other people's tools.

    samples (B, n)          float32, mono, at `sample_rate`; n is `sample_rate * sample_duration`
    probabilities (B, K)    of each window: what the run predicts for a recording that is as long
    embedding (B, C)        of the member with most weight, its first fold: the mean over time of
                            what its head reads

Its metadata are those that OpenSoundscape's `ONNXModel` reads: `sample_rate`, `sample_duration`,
`classes` (JSON), `class_outputs_key`, `embedding_outputs_key`. Each window is divided by its own
peak.
"""

import json
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from birdcore import __version__
from birdcore.export.front_end import parts_of
from birdcore.export.model_files import check_samples
from birdcore.export.waveform_front_end import WaveformFrontEnd, graph_input
from birdcore.export.wavelet_graph import check_window
from birdcore.features.cwt import CwtSpec
from birdcore.inference.engine import EngineOutput, TorchEngine
from birdcore.inference.trained_model import FOLDER, EnsembleSpec, encoded, read_ensemble
from birdcore.models.input import InputSpec, load_input, model_input
from birdcore.models.sed import SedModel, load_model
from birdcore.store.files import replacing

SINGLE_FILE = "single.onnx"
SAMPLES, PROBABILITIES, EMBEDDING = "samples", "probabilities", "embedding"
SINGLE_TOLERANCE = 1e-3
"""Of probabilities: a cell that lies in the middle between two codes may get the other one."""
CHECKED_WINDOWS = 4


class Fold(NamedTuple):
    """A model of a member, and its input."""

    model: SedModel
    reads: InputSpec


def write_single_onnx(run: Path, path: Path) -> float:
    """Write the ensemble of a run as one ONNX file.

    Args:
        run: A run's results folder (`--out`).
        path: The new file.

    Returns:
        By how much its probabilities differ from those of birdflow, at most, on generated sounds.

    Raises:
        ValueError: The folder holds no run's models, they read a front end that is not exported or
            windows of several lengths, members are blended by rank, something is done after
            prediction, or the export is wrong.
    """
    spec, members, classes = read_members(run / FOLDER)
    model = WaveformModel(spec, members).eval()
    count, rate = model.samples, model.rate
    temporary = path.with_name(f".{path.name}.partial")
    with replacing(path, temporary):
        with warnings.catch_warnings():
            # torch.export copies trees by a class of its own that it calls outdated.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec", FutureWarning)
            program = torch.onnx.export(
                model,
                (torch.rand(2, count),),
                input_names=[SAMPLES],
                output_names=[PROBABILITIES, EMBEDDING],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        assert program is not None  # only the exporter before dynamo returns nothing
        program.model.metadata_props.update(
            {
                "sample_rate": str(rate),
                "sample_duration": str(count / rate),
                "classes": json.dumps(classes),
                "class_outputs_key": PROBABILITIES,
                "embedding_outputs_key": EMBEDDING,
                "birdflow": __version__,
            }
        )
        program.save(temporary)
        difference = _compared(temporary, spec, members, count, rate)
    return difference


def read_members(
    models: Path,
) -> tuple[EnsembleSpec, dict[str, list[Fold]], tuple[str, ...]]:
    """The ensemble in a run's `model` folder, its models by member, and its classes.

    Raises:
        ValueError: See `write_single_onnx`.
    """
    spec = read_ensemble(models)
    if spec.blend == "rank":
        raise ValueError(
            f"{models} blends by rank, which needs all rows of a submission: one file can't"
        )
    if spec.after_prediction is not None:
        raise ValueError(
            f"{models} has settings of [after_prediction], which need all rows of a recording: one "
            "file of windows can't. Export a bundle without it, or a run without these"
        )
    if spec.probes:
        raise ValueError(
            f"{SINGLE_FILE} holds networks alone, and {', '.join(spec.probes)} reads an external "
            "teacher's embeddings: leave --single-onnx out"
        )
    members: dict[str, list[Fold]] = {}
    classes: tuple[str, ...] = ()
    for member, folders in spec.members.items():
        members[member] = []
        for name in folders:
            model, shape = load_model(models / name)
            members[member].append(Fold(model, load_input(models / name)))
            classes = classes or shape.classes
            if shape.classes != classes:
                raise ValueError(f"{models / name} has other classes than the models before it")
    inputs = {
        (fold.reads.mel, fold.reads.scale, fold.reads.frames)
        for folds in members.values()
        for fold in folds
    }
    if not inputs:
        raise ValueError(f"{models} holds no model: an external teacher's is not copied")
    if len(inputs) > 1:
        raise ValueError(f"models in {models} read different features or windows: not in one file")
    reads = next(iter(members.values()))[0].reads
    for part in parts_of(reads.mel, SINGLE_FILE):
        if isinstance(part, CwtSpec):
            check_window(part, window_samples(reads), SINGLE_FILE)
    return spec, members, classes


class WaveformModel(nn.Module):
    """Samples (B, n) to probabilities (B, K) and an embedding (B, C): see the module."""

    shares: Tensor

    def __init__(self, spec: EnsembleSpec, members: dict[str, list[Fold]]) -> None:
        super().__init__()
        reads = next(iter(members.values()))[0].reads
        self.rate, self.samples = reads.mel.sample_rate, window_samples(reads)
        folds = [fold.reads for member in members.values() for fold in member]
        with_floor = any(reads.over_floor for reads in folds)
        self.front_end = WaveformFrontEnd(reads.mel, reads.scale, with_floor=with_floor)
        self.members = list(members.values())
        self.models = nn.ModuleList(fold.model for folds in self.members for fold in folds)
        weights = [np.asarray(spec.weights[name], np.float64) for name in members]
        shares = np.stack(np.broadcast_arrays(*weights))
        shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)
        shares = (shares / shares.sum(axis=0)).reshape(len(members), -1)
        self.register_buffer("shares", torch.from_numpy(shares).float())
        self.heaviest = int(shares.mean(axis=1).argmax())
        self.output = spec.predict.output
        self.power = spec.power if spec.blend == "power" else 1.0

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        power = self.front_end(samples)
        total, embedding = torch.zeros(()), torch.zeros(())
        for number, folds in enumerate(self.members):
            outputs = []
            for model, reads in folds:
                crop = power if reads.over_floor else power[:, :, : reads.frames]
                pooled = model.pooled(graph_input(crop, reads))
                answer = model.answer(pooled)
                framewise = answer.framewise_logit.sigmoid()
                outputs.append(self._chosen(answer.clipwise[:, :, None], framewise))
                if number == self.heaviest and len(outputs) == 1:
                    embedding = pooled.mean(dim=2)
            probabilities = torch.stack(outputs).mean(dim=0).amax(dim=2)
            total = total + self.shares[number] * probabilities**self.power
        return total ** (1 / self.power), embedding

    def _chosen(self, clipwise: Tensor, framewise: Tensor) -> Tensor:
        """The output (B, K, T') that the run reads."""
        if self.output == "clipwise":
            return clipwise
        return framewise if self.output == "framewise" else (clipwise + framewise) / 2


def window_samples(reads: InputSpec) -> int:
    """How long a window is: the roundest of the lengths that give its frames."""
    rate, least = reads.mel.sample_rate, reads.mel.samples(reads.frames)
    for step in (rate, rate // 2, rate // 10):
        count = -(-least // step) * step
        if reads.mel.frames(count) == reads.frames:
            return count
    return least


def _compared(
    path: Path, spec: EnsembleSpec, members: dict[str, list[Fold]], count: int, rate: int
) -> float:
    """By how much the file's probabilities differ from those of birdflow's own way."""
    import onnxruntime

    windows = check_samples(rate, CHECKED_WINDOWS * count).reshape(CHECKED_WINDOWS, count)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run([PROBABILITIES], {SAMPLES: windows})[0]
    expected = expected_probabilities(windows, spec, members)
    difference = float(np.abs(found - expected).max())
    if not difference <= SINGLE_TOLERANCE:
        raise ValueError(
            f"the export in one file is wrong: probabilities differ from birdflow's by "
            f"{difference:.2g}"
        )
    return difference


def expected_probabilities(
    windows: NDArray[np.float32], spec: EnsembleSpec, members: dict[str, list[Fold]]
) -> NDArray[np.floating]:
    """Probabilities (B, K) of windows (B, n), each taken for a recording, as runs compute them."""
    tables = {}
    for name, folds in members.items():
        outputs = [_chosen(_answers(windows, fold), spec.predict.output) for fold in folds]
        tables[name] = np.mean(outputs, axis=0).max(axis=1)
    return spec.blended(tables)


def _answers(windows: NDArray[np.float32], fold: Fold) -> EngineOutput:
    model, reads = fold
    inputs = []
    for samples in windows:
        features = encoded("window", partial(iter, [samples]), reads.mel.sample_rate, reads)
        zero = torch.zeros(1, dtype=torch.long, device=features.device)
        power = features.power(zero, zero, reads.frames, with_floor=reads.over_floor)
        inputs.append(model_input(power, reads).cpu())
    return TorchEngine(model, torch.device("cpu"))(torch.cat(inputs))


def _chosen(answers: EngineOutput, output: str) -> NDArray[np.floating]:
    clipwise = answers.clipwise[:, None]
    if output == "clipwise":
        return clipwise
    both = (clipwise + answers.framewise) / 2
    return answers.framewise if output == "framewise" else both
