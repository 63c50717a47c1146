"""Stage `export`: a trained model as ONNX, which runtimes for CPUs run faster than torch does.

Publishes `model.onnx`, and `model.json` and `input.json` of the model beside it. An export may
succeed and compute something else, so it is compared with torch on windows of real recordings
before it is published.
"""

import shutil
from typing import TYPE_CHECKING

from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from torch import Tensor

    from birdcore.models.input import InputSpec

VERSION = 1
WINDOWS = 16
"""How many are compared: an operator that is exported wrongly shows on any."""


def step(name: str, model: Ref, mels: tuple[Ref, ...]) -> Step:
    """The export of a model, which has this name in its round; `mels` are of clips."""
    return Step("export", VERSION, f"export {name}", {}, {"model": (model,), "mel": mels})


def run(job: Job) -> Metrics:
    from birdcore.inference.engine import cpu_engine
    from birdcore.inference.onnx import compare, export_onnx
    from birdcore.inference.onnx_file import ONNX_FILE
    from birdcore.models.input import INPUT_FILE, load_input
    from birdcore.models.sed import SPEC_FILE, load_model

    folder = job.input("model").folder
    model, model_spec = load_model(folder)
    input_spec = load_input(folder)
    for name in (SPEC_FILE, INPUT_FILE):
        shutil.copyfile(folder / name, job.folder / name)
    job.progress(0, 2, "export")
    export_onnx(model.eval(), model_spec, input_spec, job.folder / ONNX_FILE)
    job.progress(1, 2, "compare")
    windows = _windows(job, input_spec)
    difference = compare(folder, windows, cpu_engine(), export=job.folder)
    job.progress(2, 2, "")
    return {"windows": len(windows), "difference": float(f"{difference:.1g}")}


def _windows(job: Job, spec: "InputSpec") -> "Tensor":
    """Inputs (B, 1, F, T) of the first windows of the first recordings, on the CPU."""
    from birdcore.inference.predict import read_soundscapes
    from birdcore.inference.window_batches import batch_input, pack

    shards = (read_soundscapes(mel / "mel.parquet") for mel in job.inputs("mel"))
    recordings = ((shard, row) for shard in shards for row in range(len(shard.names)))
    window_s = spec.frames / spec.mel.frame_rate
    batch = next(pack(recordings, spec, window_s, WINDOWS))
    return batch_input(batch, spec).cpu()
