"""What `birdflow run` says when it is over: scores, and where the results are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.table import Table

from flows.terminal import err, out


@contextmanager
def earlier_results_told(target: Path) -> Iterator[None]:
    """Say of a run that fails that what lies in its folder is not of it."""
    began = time.time()
    try:
        yield
    except BaseException:
        with suppress(OSError):  # there is nothing
            if (target / "summary.md").stat().st_mtime < began:
                err.print(f"note: the results in {target} are of an earlier run")
        raise


def say_results(scores: dict[str, dict[str, float]] | None, target: Path) -> None:
    """`scores` by round, empty without a truth to score against, None before there are results."""
    if scores is None:
        out.print("results  none yet: the recipe has steps that were never run")
        return
    if scores:
        out.print(_table(scores))
    from flows.results import not_scored  # whoever only plans needs none of its imports

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
