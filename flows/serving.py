"""The process of birdflow's Prefect server: `python -m flows.serving PORT FD`, in its own folder.

It listens on the socket that it inherits as file descriptor FD, holds `server.lock` as long as it
lives, and ends when no client holds `in-use.lock` any more. flows/server.py starts it.
"""

import fcntl
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from birdcore.store.private import open_private, write_private

if TYPE_CHECKING:
    import uvicorn

WATCH_S = 2.0
END_S = 20.0
"""Time for the server's services to end; then the process exits."""


def main(port: int, descriptor: int) -> None:
    """Serve until no client is left.

    Args:
        port: The port that clients use.
        descriptor: The inherited socket that listens on it.
    """
    os.umask(0o077)
    fcntl.flock(open_private(Path("server.lock")), fcntl.LOCK_EX)
    where = {"host": socket.gethostname(), "port": port, "pid": os.getpid()}
    write_private(Path("server.json"), json.dumps(where))
    login = os.environ["PREFECT_SERVER_API_AUTH_STRING"]

    import uvicorn
    from prefect.server.api.server import create_app

    from flows.gate import gate

    config = uvicorn.Config(
        gate(create_app(), port, login),
        log_level="warning",
        timeout_graceful_shutdown=3,
        lifespan="on",
    )
    serving = uvicorn.Server(config)
    threading.Thread(target=_end_when_unused, args=(serving,), daemon=True).start()
    serving.run([socket.socket(fileno=descriptor)])


def _end_when_unused(serving: "uvicorn.Server") -> None:
    clients = open_private(Path("in-use.lock"))  # kept to the end, so that a new client waits
    while True:
        time.sleep(WATCH_S)
        try:
            fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        Path("server.json").unlink(missing_ok=True)
        serving.should_exit = True
        time.sleep(END_S)
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
