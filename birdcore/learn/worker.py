"""Training in a process of its own: `python -m birdcore.learn.worker STORE`.

Device memory goes with the process, and a hung or unwanted training can be ended. The step comes
as one line of JSON on standard input, which then stays open: when it closes, whoever wanted the
model is gone, and so is this process. Progress goes to standard output, a JSON line each; the
last line says how it ended.
"""

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from birdcore.artifact import Ref, Step, Store

FULL_DEVICE = "full device"


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

    from birdcore.learn import train

    def progress(done: int, total: int, text: str) -> None:
        _say(done=done, total=total, text=text)

    try:
        Store(Path(sys.argv[1])).make(
            step, train.run, progress, resumes=True, refresh=sys.argv[2:] == ["--refresh"]
        )
    except torch.cuda.OutOfMemoryError as error:
        _say(error=f"the GPU's memory is full: lower round.batch ({error})", kind=FULL_DEVICE)
        sys.exit(1)
    except (ValueError, OSError) as error:
        _say(error=str(error), kind=type(error).__name__)
        sys.exit(1)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
