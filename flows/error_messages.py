"""What went wrong, in words for a person, and Prefect's log lines without tracebacks."""

import os

from birdcore.xeno_canto.quota import FULL


def plain(error: BaseException) -> str:
    """One sentence, or a line for each thing that is wrong."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        if error.errno in FULL and os.strerror(error.errno) in error.strerror:
            return (
                f"no disk space left{where}: make room and run the same command again, "
                "it goes on where it was"
            )
        return f"{error.strerror[0].lower()}{error.strerror[1:]}{where}"
    text = str(error).strip()
    if isinstance(error, ValueError | RuntimeError | ConnectionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
