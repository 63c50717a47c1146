"""Pins: artifacts that garbage collection keeps, with all that they were made of, whatever runs.

They are listed in `pins.json` of the store, which is changed under the lock of the runs' records.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from birdcore.store.artifact import Ref
from birdcore.store.files import read_regular, write_text
from birdcore.store.format import StoreError
from birdcore.store.runs import LOCK
from birdcore.store.store import Store

PINS = "pins.json"
PINS_BYTES = 1 << 24


@dataclass(frozen=True)
class Pin:
    """Since when and why an artifact is kept regardless of runs."""

    since: str
    why: str


def pins(store: Store) -> dict[Ref, Pin]:
    """Pinned artifacts; raises StoreError where the file of them can't be read."""
    path = store.root / PINS
    try:
        fields = json.loads(read_regular(path, PINS_BYTES))
        return {Ref.named(name): Pin(**pin) for name, pin in fields.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{path} can't be read: mend it, or remove it and pin again") from error


def pin(store: Store, ref: Ref, why: str = "") -> None:
    """Keep an artifact and all that it was made of; raises StoreError where it is not there."""
    with store.lock(LOCK):
        if store.find(ref) is None:
            raise StoreError(f"{ref} is not in the store {store.location}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _write(store, pins(store) | {ref: Pin(now, why)})


def unpin(store: Store, ref: Ref) -> None:
    """Raises ValueError where it is not pinned."""
    with store.lock(LOCK):
        pinned = pins(store)
        if ref not in pinned:
            listed = ", ".join(map(str, pinned)) or "none"
            raise ValueError(f"{ref} is not pinned: pinned are {listed}")
        del pinned[ref]
        _write(store, pinned)


def _write(store: Store, pinned: dict[Ref, Pin]) -> None:
    fields = {f"{ref.stage}/{ref.key}": asdict(one) for ref, one in sorted(pinned.items())}
    write_text(store.root / PINS, json.dumps(fields, indent=1) + "\n")
