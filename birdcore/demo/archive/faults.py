"""Faults to order: what goes wrong between a client and an archive, by script and by rate.

    429  429-retry-after      too many requests, without and with Retry-After
    503                       overload, with a page of HTML
    html                      a page of HTML with status 200 in place of the answer
    cut                       half of the body, then the connection ends
    length-short length-long  a Content-Length of half the body; of more than the body
    drip                      the whole body in small pieces over `drip_s` seconds
    reset                     half of the body, then the connection is reset (RST)
    repeat                    records of the page before come again at the head of this page
    grow                      numRecords and numPages grow from page to page

None takes a record away for good: who tries again gets everything that the archive has.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

import numpy as np

Kind: TypeAlias = Literal[
    "429",
    "429-retry-after",
    "503",
    "html",
    "cut",
    "length-short",
    "length-long",
    "drip",
    "reset",
    "repeat",
    "grow",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_SEARCHES: tuple[Kind, ...] = ("repeat", "grow")
API = "/api/"


@dataclass(frozen=True)
class Fault:
    """One fault, for the first request whose path in the log fits the pattern `path`."""

    kind: Kind
    path: str = "*"
    retry_after: str = "1"  # seconds or an HTTP date
    drip_s: float = 2.0

    def fits(self, path: str) -> bool:
        of_kind = self.kind not in OF_SEARCHES or path.startswith(API)
        return of_kind and fnmatchcase(path, self.path)


@dataclass
class Faults:
    """The faults of one archive; a script comes before the rate and may be added to at any time.

    `rate` is the probability of a fault per request once the script holds none for it, drawn from
    `rng`. Raises ValueError for a rate outside 0 to 1 and for one without a generator.
    """

    script: Iterable[Fault | None] = ()
    rate: float = 0.0
    rng: np.random.Generator | None = None
    kinds: tuple[Kind, ...] = KINDS
    retry_after: str = "1"  # of faults by rate
    drip_s: float = 2.0
    given: list[tuple[Kind, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate={self.rate}: ask for a share of requests, 0 to 1")
        if self.rate and self.rng is None:
            raise ValueError("faults by rate need rng, a numpy Generator")
        self._lock = threading.Lock()
        self._script = list(self.script)

    def add(self, *faults: Fault | None) -> None:
        with self._lock:
            self._script += faults

    def next(self, path: str) -> Fault | None:
        """The fault that a request for this path gets; it is then spent."""
        with self._lock:
            fault = self._scripted(path)
            if fault is not None:
                self.given.append((fault.kind, path))
            return fault

    def _scripted(self, path: str) -> Fault | None:
        for place, fault in enumerate(self._script):
            if fault is None or fault.fits(path):
                return self._script.pop(place)
        return self._drawn(path)

    def _drawn(self, path: str) -> Fault | None:
        if self.rng is None or self.rng.random() >= self.rate:
            return None
        kinds = [k for k in self.kinds if Fault(k).fits(path)]
        if not kinds:
            return None
        kind = kinds[self.rng.integers(len(kinds))]
        return Fault(kind, retry_after=self.retry_after, drip_s=self.drip_s)
