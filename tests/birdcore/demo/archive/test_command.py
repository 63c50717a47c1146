import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from birdcore.demo.archive import KEY, serve_archive

RUN = """
import sys
from pathlib import Path
from birdcore.demo.archive import serve_archive
serve_archive(Path(sys.argv[1]), key=sys.argv[2])
"""


@pytest.mark.parametrize("key", [KEY, "somebody's own"])
def test_it_runs_until_interrupted_and_says_what_it_is(folder: Path, key: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, folder, key],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while "feature" not in lines[-1] and lines[-1]:  # the last that it says
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said = "".join([*lines, process.stdout.read()])
    assert process.returncode == 0
    assert "http://127.0.0.1:" in said
    assert "no product feature" in said
    assert (key in said) == (key == KEY)


def test_a_port_that_is_taken_is_said_plainly(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"127\.0\.0\.1:{port}"):
            serve_archive(folder, port)


def test_a_port_that_is_none_is_said_plainly(folder: Path) -> None:
    with pytest.raises(ValueError, match="70000"):
        serve_archive(folder, 70000)
