"""`birdflow archive`: the archive until it is interrupted."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from birdcore.demo.archive.faults import Faults
from birdcore.demo.archive.server import HOST, KEY, serve

NOTICE = "It serves tests and the demo, on this machine only, and is no product feature."


def _print(text: str) -> None:
    print(text, flush=True)


def serve_archive(
    folder: Path,
    port: int = 0,
    key: str = KEY,
    fault_rate: float = 0.0,
    seed: int = 0,
    say: Callable[[str], None] = _print,
) -> None:
    """Serve the folder and say where, until Ctrl-C.

    Raises ValueError for a folder without a readable `recordings.json`, a port that is taken and a
    rate outside 0 to 1.
    """
    faults = Faults(rate=fault_rate, rng=np.random.default_rng(seed))
    try:
        with serve(folder, port, key, faults) as archive:
            say(f"An archive in the manner of Xeno-canto's API v3 at {archive.url}")
            say(NOTICE)
            if key == KEY:  # anybody else's is theirs to know
                say(f"Its key: XENO_CANTO_KEY={KEY}")
            if fault_rate:
                say(f"Faults: {fault_rate:.0%} of requests go wrong")
            threading.Event().wait()
    except KeyboardInterrupt:
        return
    except (OSError, OverflowError) as error:
        raise ValueError(f"{HOST}:{port} can't be served: {error}") from None
