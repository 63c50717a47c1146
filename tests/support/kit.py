"""A bundle's script, run as where birdflow is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np

ALONE = """
import runpy, socket, sys
BARRED = {"birdcore", "flows", "tasks", "torch", "scipy", "soxr", "pandas", "pydantic", "av",
    "ai_edge_litert"}
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BARRED:
            raise ImportError(f"{name} is barred")
def refuse(*_):
    raise OSError("the network is barred")
sys.meta_path.insert(0, Barred())
socket.socket.connect = refuse
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def predict_alone(bundle: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the bundle's script in a process that can't import what it must not need."""
    command = [sys.executable, "-I", "-c", ALONE, str(bundle / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=bundle.parent)


def sound(seconds: float, seed: int, rate: int = 32_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * rate))
    return np.asarray(0.1 * samples * np.sin(np.arange(len(samples)) / 9_000), np.float32)
