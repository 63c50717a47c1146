"""The disk under a folder that fills over days, and the part of it that is left to others."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class DiskQuota:
    folder: Path
    keep_free_bytes: int

    def check(self, coming: int) -> None:
        """Raises OSError (ENOSPC) where `coming` bytes more would leave too little free."""
        if shutil.disk_usage(self.folder).free - coming < self.keep_free_bytes:
            raise self._full()

    @contextmanager
    def when_full(self) -> Iterator[None]:
        """Say it as `check` does where the disk, or our share of it, turns out to be full."""
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise self._full() from None
            raise

    def _full(self) -> OSError:
        return OSError(
            errno.ENOSPC,
            f"no room for more in {self.folder}, where {self.keep_free_bytes / 1e9:.1f} GB are to "
            "stay free: make room and run again, it goes on where it was",
        )
