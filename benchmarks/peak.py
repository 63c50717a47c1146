"""The most memory that a process has had: what benchmarks and drills of memory measure."""

from pathlib import Path


def peak_mb() -> float:
    """The most that this process ever had in memory, MB (Linux).

    Not `getrusage`, whose figure a started program takes over from the process that started it.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6
