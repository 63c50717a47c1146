"""A bundle tried as Kaggle will run it: a clean environment, no network, and a clock.

The environment is a new virtual one with NumPy, soundfile and an engine, so that nothing of
birdflow can help. The network is off while the script runs: by a network namespace of its own
(`unshare`) where the system allows that, else by a `sitecustomize` that refuses sockets.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

from birdcore.export.bundle_config import SCRIPT_FILE, read_config
from birdcore.export.kit.recordings import recordings_of
from birdcore.store.files import write_text

DRY_RUN_FILE, DRY_RUN_TABLE = "dry_run.json", "dry_run.csv"
AUDIO_MINUTES, LIMIT_MINUTES = 700, 90
"""What BirdCLEF+ asks for: this much audio within this time, without a GPU."""
KAGGLE_CORES = 4
Network: TypeAlias = Literal["namespace", "refused sockets"]
NO_SOCKETS = '''"""Refuses connections: what runs here has to do without a network."""

import socket


def refuse(*_):
    raise OSError("the network is off in a dry run")


socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
'''


class DryRun(BaseModel):
    """What a dry run measured, and what follows for a submission.

    Attributes:
        packages: All that was installed, `name==version`.
        network: How it was off.
        recordings, rows: How many.
        audio_minutes: Of all recordings.
        threads: Recordings that were predicted at once: the cores that there were.
        start_s: From the start of Python until all models are open, seconds.
        predict_s: From then to the written submission, seconds.
        cpu_s: Of all threads, seconds.
        s_per_audio_hour: `predict_s` for an hour of audio.
        peak_memory_mb: Most resident memory.
        cores: For how many cores the rest is computed.
        estimated_minutes: Of `limit_minutes`, for audio of `asked_minutes`: `start_s`, and
            `predict_s` in proportion to audio and inversely to cores. It is too large where other
            processes took of the cores that were measured.
        cpu_minutes: The same by `cpu_s`: what it takes where nothing else runs, at least.
        margin: `limit_minutes` over `estimated_minutes`.
        fits: Whether that is 1 or more.
    """

    model_config = ConfigDict(frozen=True)

    packages: tuple[str, ...]
    network: Network
    recordings: int
    rows: int
    audio_minutes: float
    threads: int
    start_s: float
    predict_s: float
    cpu_s: float
    s_per_audio_hour: float
    peak_memory_mb: float
    cores: int
    asked_minutes: int = AUDIO_MINUTES
    limit_minutes: int = LIMIT_MINUTES
    estimated_minutes: float
    cpu_minutes: float
    margin: float
    fits: bool


def dry_run(
    bundle: Path,
    soundscapes: Path,
    *,
    cores: int = KAGGLE_CORES,
    progress: Callable[[str], None] = lambda what: None,
) -> DryRun:
    """Predict soundscapes by a bundle's script alone, and write what it took into the bundle.

    Args:
        bundle: The bundle's folder; `dry_run.json` and `dry_run.csv`, the submission, are written
            into it.
        soundscapes: A folder of recordings, the more the better measured.
        cores: Of the machine for which the time is estimated.
        progress: Told what goes on.

    Raises:
        ValueError: The folder holds no recording, or the script refuses something.
        RuntimeError: The packages can't be installed.
    """
    recordings_of(soundscapes)
    with TemporaryDirectory(prefix="birdflow-dry-run-") as name:
        folder = Path(name)
        progress("installing " + ", ".join(packages := needed_packages(bundle)))
        python = make_environment(folder / "environment", packages)
        network = network_off(folder / "environment")
        progress(f"predicting {soundscapes}")
        table, report = bundle.resolve() / DRY_RUN_TABLE, folder / "report.json"
        off = ["unshare", "--map-root-user", "--net"] if network == "namespace" else []
        script, sounds = bundle.resolve() / SCRIPT_FILE, soundscapes.resolve()
        words: list[str | Path] = [
            *off,
            python,
            "-I",
            script,
            sounds,
            "--out",
            table,
            "--report",
            report,
        ]
        took = timed(words, folder)
        result = _result(json.loads(report.read_text()), took, packages, network, cores)
    write_text(bundle / DRY_RUN_FILE, result.model_dump_json(indent=1) + "\n")
    return result


def needed_packages(bundle: Path) -> tuple[str, ...]:
    """What a bundle's script needs, in the versions that are installed here."""
    engines = read_config(bundle).engines if find_spec("openvino") else ("onnxruntime",)
    names = ("numpy", "soundfile", *engines)
    return tuple(f"{name}=={version(name).partition('-')[0]}" for name in names)


def make_environment(folder: Path, packages: Sequence[str]) -> Path:
    """A new virtual environment with some packages; its Python.

    Raises:
        RuntimeError: They can't be installed.
    """
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for words in ([sys.executable, "-m", "venv", str(folder)], [*pip, *packages]):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
            raise RuntimeError(f"no clean environment for the dry run: {said[-1]}")
    return python


def network_off(environment: Path) -> Network:
    """How the network is turned off: asked of the system, else prepared in the environment."""
    try:
        command = ["unshare", "--map-root-user", "--net", "true"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return "namespace"
    except OSError:
        pass
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text(NO_SOCKETS, encoding="utf-8")
    return "refused sockets"


class Took(NamedTuple):
    """What a process took: seconds by the clock and of processors."""

    wall_s: float
    cpu_s: float


def timed(command: Sequence[str | Path], folder: Path) -> Took:
    """Run a command.

    Args:
        command: Its words.
        folder: Where it runs, and where its output is kept.

    Raises:
        ValueError: It failed; the message is its last line.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with (folder / "output").open("w+", encoding="utf-8") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command)], stdout=output, stderr=output, cwd=folder, env=environment
        )
        # Popen's own wait tells no usage. Its memory is of no use either: it begins at that of
        # this process, so the script reads its own.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().strip().splitlines()
    if process.returncode:
        raise ValueError(f"the dry run failed: {said[-1] if said else 'without a word'}")
    return Took(wall_s, usage.ru_utime + usage.ru_stime)


def _result(
    report: dict[str, float],
    took: Took,
    packages: tuple[str, ...],
    network: Network,
    cores: int,
) -> DryRun:
    start_s = took.wall_s - report["predict_s"]
    rate = report["predict_s"] / report["audio_s"]
    threads = int(report["threads"])
    estimated = start_s / 60 + rate * AUDIO_MINUTES * threads / cores
    cpu_minutes = took.cpu_s / report["audio_s"] * AUDIO_MINUTES / cores
    return DryRun(
        packages=packages,
        network=network,
        recordings=int(report["recordings"]),
        rows=int(report["rows"]),
        audio_minutes=round(report["audio_s"] / 60, 2),
        threads=threads,
        start_s=round(start_s, 2),
        predict_s=round(report["predict_s"], 2),
        cpu_s=round(took.cpu_s, 2),
        s_per_audio_hour=round(rate * 3600, 2),
        peak_memory_mb=round(report["peak_memory_mb"], 1),
        cores=cores,
        estimated_minutes=round(estimated, 2),
        cpu_minutes=round(cpu_minutes, 2),
        margin=round(LIMIT_MINUTES / estimated, 1),
        fits=estimated <= LIMIT_MINUTES,
    )
