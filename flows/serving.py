"""The process of our own Prefect server: `python -m flows.serving PORT FD`, in its own folder.

It listens on the socket that it inherits as FD, holds `server.lock` for as long as it lives, and
ends when no client holds `in-use.lock` any more.
"""

import fcntl
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

from birdcore.store.private import open_private, write_private

WATCH_S = 2.0
END_S = 20.0
"""Services that do not end by then are ended with the process."""


def main(port: int, descriptor: int) -> None:
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
    threading.Thread(target=_end_when_alone, args=(serving,), daemon=True).start()
    serving.run([socket.socket(fileno=descriptor)])


def _end_when_alone(serving) -> None:  # type: ignore[no-untyped-def]
    clients = open_private(Path("in-use.lock"))  # held to the end: a new client waits for it
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
