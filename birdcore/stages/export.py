"""Stage `export`: a trained model as ONNX, which runtimes for CPUs run faster than torch does.

Publishes `model.onnx`, and `model.json` and `input.json` of the model beside it. An export may
succeed and compute something else, so it is compared with torch on windows of real recordings
before it is published. Where the recipe asks for it there is `int8.onnx` too, or `model.onnx` says
that it may be computed in bfloat16, unless that is worse on the recordings of the model's
validation fold.
"""

import shutil
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdcore.config import Export, defaults_of
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from birdcore.inference.engine import Engine
    from birdcore.inference.window_batches import Piece, Recording
    from birdcore.models.input import InputSpec

VERSION = 1
WINDOWS = 16
"""How many are compared with torch: an operator that is exported wrongly shows on any."""
CALIBRATION = 128
"""Recordings, evenly over all, whose first windows say how large activations are."""
HELD_OUT = 2000
"""Most recordings that less precision is tried on."""
BATCH = 32
MAX_LOSS = 0.002
"""Of AUC: less precision that costs more is not used."""


def step(name: str, model: Ref, mels: tuple[Ref, ...], settings: Export) -> Step:
    """The export of a model, which has this name in its round; `mels` are of clips."""
    config = settings.model_dump(include={"int8", "bf16"})
    inputs = {"model": (model,), "mel": mels}
    defaults = defaults_of(settings)
    return Step("export", VERSION, f"export {name}", config, inputs, defaults=defaults)


def run(job: Job) -> Metrics:
    from birdcore.inference.engine import cpu_engine
    from birdcore.inference.onnx import compare, export_onnx
    from birdcore.inference.onnx_file import BF16, FLOAT32, INT8_FILE, ONNX_FILE, write_precision
    from birdcore.inference.predict import read_soundscapes
    from birdcore.inference.window_batches import Recording
    from birdcore.models.input import INPUT_FILE, load_input
    from birdcore.models.sed import SPEC_FILE, load_model

    settings = Export.model_validate(job.config)
    folder = job.input("model").folder
    model, model_spec = load_model(folder)
    input_spec = load_input(folder)
    for name in (SPEC_FILE, INPUT_FILE):
        shutil.copyfile(folder / name, job.folder / name)
    steps = 3 if settings.int8 or settings.bf16 else 2
    job.progress(0, steps, "export")
    export_onnx(model.eval(), model_spec, input_spec, job.folder / ONNX_FILE)
    job.progress(1, steps, "compare with torch")
    shards = [read_soundscapes(mel / "mel.parquet") for mel in job.inputs("mel")]
    recordings = [Recording(shard, row) for shard in shards for row in range(len(shard.names))]
    _, windows = next(_batches(recordings, input_spec, WINDOWS))
    difference = compare(folder, windows, cpu_engine(), export=job.folder)
    metrics: dict[str, Any] = {"windows": len(windows), "difference": float(f"{difference:.1g}")}
    if settings.int8:
        job.progress(2, steps, "int8")
        loss = _int8(job.folder, recordings, folder / "held_out.parquet", input_spec)
        if loss is None or loss > MAX_LOSS:
            (job.folder / INT8_FILE).unlink()
        metrics["int8_auc_loss"] = None if loss is None else round(loss, 5)
        metrics["int8"] = (job.folder / INT8_FILE).is_file()
    if settings.bf16:
        job.progress(2, steps, "bf16")
        loss = _bf16(job.folder, recordings, folder / "held_out.parquet", input_spec)
        is_used = loss is not None and loss <= MAX_LOSS
        write_precision(job.folder / ONNX_FILE, BF16 if is_used else FLOAT32)
        metrics["bf16_auc_loss"] = None if loss is None else round(loss, 5)
        metrics["bf16"] = is_used
    job.progress(steps, steps, "")
    return metrics


def _batches(
    recordings: "Sequence[Recording]", spec: "InputSpec", size: int
) -> "Iterator[tuple[list[Piece], Tensor]]":
    """The windows of recordings, one after another, with their inputs (B, 1, F, T), on the CPU."""
    from birdcore.inference.window_batches import batch_input, pack

    for batch in pack(recordings, spec, spec.frames / spec.mel.frame_rate, size):
        yield batch, batch_input(batch, spec).cpu()


def _bf16(
    folder: Path, recordings: "Sequence[Recording]", held_out: Path, spec: "InputSpec"
) -> float | None:
    """Have `model.onnx` computed in bfloat16.

    Returns:
        As `_auc_loss`; None too where no engine of this machine computes in bfloat16.
    """
    from birdcore.inference.engine import cpu_engine, has_bf16, open_engine
    from birdcore.inference.onnx_file import BF16, ONNX_FILE, write_precision

    if not has_bf16():
        return None
    exact = open_engine(folder, cpu_engine())  # opened before the file says otherwise
    write_precision(folder / ONNX_FILE, BF16)
    return _auc_loss(exact, open_engine(folder, cpu_engine()), recordings, held_out, spec)


def _int8(
    folder: Path, recordings: "Sequence[Recording]", held_out: Path, spec: "InputSpec"
) -> float | None:
    """Write `int8.onnx`; returns as `_auc_loss`."""
    import numpy as np

    from birdcore.inference.engine import cpu_engine, open_engine
    from birdcore.inference.int8 import quantize
    from birdcore.inference.onnx_file import INT8_FILE, ONNX_FILE

    some = np.linspace(0, len(recordings) - 1, CALIBRATION).round().astype(int)
    calibration = [recordings[at] for at in np.unique(some)]
    some_batches = islice(_batches(calibration, spec, BATCH), CALIBRATION // BATCH)
    batches = [inputs for _, inputs in some_batches]
    exact = open_engine(folder, cpu_engine())  # opened before the other lies beside it
    quantize(folder / ONNX_FILE, batches, folder / INT8_FILE)
    return _auc_loss(exact, open_engine(folder, cpu_engine()), recordings, held_out, spec)


def _auc_loss(
    exact: "Engine",
    other: "Engine",
    recordings: "Sequence[Recording]",
    held_out: Path,
    spec: "InputSpec",
) -> float | None:
    """The AUC that another engine loses on held-out recordings; None where no class can be
    scored."""
    import numpy as np
    import pandas as pd

    from birdcore.inference.spans import SPAN
    from birdcore.metrics import class_auc

    table = pd.read_parquet(held_out)
    table = table[~table["recording"].str.contains(SPAN, regex=False)].head(HELD_OUT)
    by_name = {recording.cells.name: recording for recording in recordings}
    tried = [by_name[name] for name in table["recording"]]
    if not tried:
        return None
    targets = np.stack(table["targets"].to_list()) >= 1
    by_class = [class_auc(targets, p) for p in _maxima([exact, other], tried, spec)]
    if np.isnan(by_class[0]).all():
        return None
    return float(np.nanmean(by_class[0]) - np.nanmean(by_class[1]))


def _maxima(
    engines: "Sequence[Engine]", recordings: "Sequence[Recording]", spec: "InputSpec"
) -> "NDArray[np.float32]":
    """The maximum over the windows of each recording, by each engine: (E, R, K)."""
    import numpy as np

    from birdcore.inference.window_batches import by_piece

    batches = _batches(recordings, spec, BATCH)
    outputs = ((batch, [engine(x).clipwise for engine in engines]) for batch, x in batches)
    maxima = [
        np.max([[of_engine.max(axis=0) for of_engine in some] for _, some in own], axis=0)
        for _, own in groupby(by_piece(outputs), lambda both: both[0].windows)
    ]
    return np.stack(maxima, axis=1)
