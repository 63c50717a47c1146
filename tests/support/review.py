"""`birdflow review` as people start it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def served(path: Path, port: int, *more: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`birdflow review` as a process, and the address that it prints.

    Args:
        path: What is reviewed.
        port: Of the page; 0 for any.
        more: Further words of the command.
    """
    command = [sys.executable, "-m", "flows.cli", "review", path, "--annotator", "ana", *more]
    with subprocess.Popen(
        [*map(str, command), "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout
            lines = iter(process.stdout.readline, "")
            yield process, next(line.split()[1] for line in lines if line.startswith("page "))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
