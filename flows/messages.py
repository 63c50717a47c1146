"""What commands print when they end: the scores and places of results, or what went wrong."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.table import Table

from birdcore.xeno_canto.quota import FULL
from flows.terminal import err, out


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
    if scores:
        out.print(_table(scores))
    from flows.results import not_scored  # here, since `plan` needs none of its imports

    for line in not_scored(scores):
        err.print(f"note: {line}")
    out.print(f"results  {target / 'summary.md'}, {target / 'submission.csv'}")
    out.print(f"page     {target / 'report' / 'index.html'}")
    if scores:
        out.print(f"scores   {target / 'scores.json'}")


def _table(scores: dict[str, dict[str, float]]) -> Table:
    table = Table("", "macro ROC-AUC", "95 % interval", "cmAP", box=None, pad_edge=False)
    for name, s in scores.items():
        interval = f"{s['macro_auc_low']:.4f} to {s['macro_auc_high']:.4f}"
        table.add_row(name, f"{s['macro_auc']:.4f}", interval, f"{s['cmap']:.4f}")
    return table


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
