"""Training in a process of its own: `python -m birdcore.stages.training_process STORE`.

The end of the process frees the device's memory, and a hung or unwanted training can be killed. The
step comes as one line of JSON on standard input, which then stays open: when it closes, the parent
has ended, and this process ends too. Progress goes to standard output, one JSON line each; a
failure is the last of them: its message, its kind, and its errno if it has one. The traceback goes
to standard error.
"""

import json
import os
import re
import sys
import threading
import traceback
from dataclasses import asdict
from typing import Any

from birdcore.stages.table import make
from birdcore.store.artifact import Ref, Step
from birdcore.store.location import open_store

PASSING = "passing"
"""The kind of failure that may be over at the next try: the GPU's, or the network's."""


def step_to_json(step: Step) -> str:
    return json.dumps(asdict(step))


def step_from_json(text: str) -> Step:
    fields: dict[str, Any] = json.loads(text)
    fields["inputs"] = {k: tuple(Ref(**r) for r in refs) for k, refs in fields["inputs"].items()}
    return Step(**fields)


def main() -> None:
    step = step_from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch  # here, so that the parent's death is noticed from the first second

    def progress(done: int, total: int, text: str) -> None:
        _say(done=done, total=total, text=text)

    code = 1
    try:
        make(step, open_store(sys.argv[1]), progress, refresh=sys.argv[2:] == ["--refresh"])
        code = 0
    except torch.OutOfMemoryError as error:
        _fail(f"the GPU's memory is full: lower round.batch ({error})", PASSING)
    except torch.AcceleratorError as error:
        _fail(f"the GPU failed: {error}", PASSING)
    except ConnectionError as error:
        _fail(str(error), PASSING)
    except ValueError as error:
        _fail(str(error), type(error).__name__)
    except Exception as error:
        if system := _system_error(error):
            where = f"{system.filename}: " if system.filename else ""
            _fail(f"{where}{system.strerror}", type(system).__name__, system.errno)
        else:
            _fail(f"{type(error).__name__}: {error}", type(error).__name__)
    # All is said and on disk, and taking torch down takes seconds.
    sys.stderr.flush()
    os._exit(code)


def _system_error(error: BaseException | None) -> OSError | None:
    """The system's error behind an error: torch and safetensors hide a full disk in their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        if match := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(match[1])
            return OSError(number, os.strerror(number))
        error = error.__cause__ or error.__context__
    return None


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _fail(message: str, kind: str, errno: int | None = None) -> None:
    traceback.print_exc()
    _say(error=message, kind=kind, errno=errno)


def _say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
