"""`birdflow score`: how good predictions are, by a truth in any of its forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.options import Debug
from flows.terminal import doing, err, out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from birdcore.metrics import Evaluation, Matched

PER_CLASS = "per-class"
ON_THIS_TRUTH = (
    "each class has the threshold that is best on this truth: precision, recall and F1 are upper "
    "bounds. --by-class writes the thresholds, and --threshold FILE scores other recordings by them"
)


def score(
    predictions: Annotated[Path, typer.Argument(help="A submission.csv.", show_default=False)],
    truth: Annotated[
        Path, typer.Argument(help="A CSV file with the true labels.", show_default=False)
    ],
    *,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Report precision, recall and F1 of what scores at least T: a number, the best of "
            f"each class on this truth ({PER_CLASS}), or a CSV with columns class and threshold.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        Literal["birdset"] | None,
        typer.Option(
            help="Report what a benchmark does: BirdSet's cmAP, AUROC and top-1.",
            show_default=False,
        ),
    ] = None,
    by_class: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write each class's scores to a CSV.", show_default=False
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=1, help="Bootstrap samples of the intervals.")
    ] = 1000,
    debug: Debug = False,
) -> None:
    """Score predictions against true labels. Intervals (95 %) resample recordings."""
    import numpy as np

    from birdcore.metrics import evaluate_rows, match_scorable
    from birdcore.metrics.class_table import write_classes
    from birdcore.stages.score import ENSEMBLE
    from flows.score_lines import not_scored, score_table

    with doing("scoring"):
        both = match_scorable(predictions, truth)
        found = evaluate_rows(
            both.truth,
            both.scores,
            both.recordings,
            generator=np.random.default_rng(0),
            rounds=bootstrap,
            thresholds=_thresholds(threshold, both),
            birdset=protocol == "birdset",
        )
        if by_class is not None:
            write_classes(by_class, both.labels, found.by_class)
    out.print(_in_one_line(found, len(both.row_ids)))
    if threshold is not None or protocol is not None:
        for line in score_table(found.estimates):
            out.print(line)
    if threshold == PER_CLASS:
        err.print(ON_THIS_TRUTH)
    missing = {"rows_missing": both.rows_missing, "classes_missing": both.classes_missing}
    for line in not_scored({ENSEMBLE: missing}, why=""):
        err.print(line)


def _thresholds(given: str | None, both: Matched) -> float | NDArray[np.float64] | None:
    """One for all or (C,): what `--threshold` says."""
    from birdcore.metrics import best_thresholds
    from birdcore.metrics.class_table import read_thresholds

    if given is None:
        return None
    if given == PER_CLASS:
        return best_thresholds(both.truth, both.scores)
    try:
        number = float(given)
    except ValueError:
        if not Path(given).exists():
            raise typer.BadParameter(
                f"{given!r} is no number, no file, and not {PER_CLASS}", param_hint="--threshold"
            ) from None
        return read_thresholds(Path(given), both.labels)
    if number != number:
        raise typer.BadParameter("it is no number", param_hint="--threshold")
    return number


def _in_one_line(found: Evaluation, rows: int) -> str:
    auc, precision = sorted(found.estimates[:2], key=lambda one: one.name == "cmAP")
    return (
        f"macro ROC-AUC {auc.value:.6f} (95 % interval {auc.low:.4f} to {auc.high:.4f}), "
        f"cmAP {precision.value:.6f}, {auc.over}, {rows} rows"
    )
