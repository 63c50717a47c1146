"""What a machine has to train with, known without importing torch, which takes seconds."""

import os
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Cores of this process, bytes of memory, and names of NVIDIA GPUs with their bytes."""

    cores: int
    memory: int
    gpus: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        cores = f"{self.cores} {'core' if self.cores == 1 else 'cores'}"
        gpus = [f"{name} of {memory / 2**30:.0f} GiB" for name, memory in self.gpus]
        return f"{cores}, {self.memory / 2**30:.0f} GiB, {', '.join(gpus) or 'no GPU'}"


def this_machine() -> Machine:
    """The machine that this process runs on; a driver that does not answer is no GPU."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(len(os.sched_getaffinity(0)), memory, _gpus())


def _gpus() -> tuple[tuple[str, int], ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        rows = [line.rpartition(",") for line in said.splitlines() if line.strip()]
        return tuple((name.strip(), int(mebibytes) << 20) for name, _, mebibytes in rows)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()
