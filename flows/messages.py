"""What commands print when they end: the scores and places of results, or what went wrong."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from birdcore.archives.quota import FULL
from flows.terminal import err, out

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


@contextmanager
def note_earlier_results(target: Path) -> Iterator[None]:
    """Where the run inside fails, note that results in its folder are of an earlier run."""
    began = time.time()
    try:
        yield
    except BaseException:
        with suppress(OSError):  # there are no results
            if (target / "summary.md").stat().st_mtime < began:
                err.print(f"note: the results in {target} are of an earlier run")
        raise


def print_results(scores: dict[str, dict[str, float]] | None, target: Path) -> None:
    """Print scores and where the results are.

    Args:
        scores: Metrics by round; empty where the data have no true labels, None before all steps
            that results need have run.
        target: The results folder.
    """
    if scores is None:
        out.print("results  none yet: the recipe has steps that were never run")
        return
    # Here: `plan` needs none of their imports.
    from flows.results import score_texts
    from flows.score_lines import not_scored

    if scores:
        table = Table("", "macro ROC-AUC", "95 % interval", "cmAP", box=None, pad_edge=False)
        for name, of_round in scores.items():
            table.add_row(name, *score_texts(of_round))
        out.print(table)
    for line in not_scored(scores):
        err.print(f"note: {line}")
    out.print(f"results  {target / 'summary.md'}, {target / 'submission.csv'}")
    out.print(f"page     {target / 'report' / 'index.html'}")
    if scores:
        out.print(f"scores   {target / 'scores.json'}")


def failure_of(state: "State[Any]") -> str | None:
    """Why a task failed or crashed, from its state; None where it did neither."""
    if not (state.is_failed() or state.is_crashed()):
        return None
    error = state.result(raise_on_failure=False)
    return error_message(error) if isinstance(error, BaseException) else str(error)


def error_message(error: BaseException) -> str:
    """What went wrong, in one sentence or in a line for each thing that is wrong.

    Errors that birdflow raises for users (ValueError, RuntimeError, ConnectionError) are their own
    text; others are named by their class as well.
    """
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        if error.errno in FULL and os.strerror(error.errno) in error.strerror:
            return (
                f"no disk space left{where}: make room and run the same command again; "
                "it continues where it stopped"
            )
        return f"{error.strerror[0].lower()}{error.strerror[1:]}{where}"
    text = str(error).strip()
    if isinstance(error, ValueError | RuntimeError | ConnectionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
