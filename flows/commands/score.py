"""`birdflow score`: how good predictions are, by a truth in any of its forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from flows.options import Debug
from flows.terminal import doing, err, out

if TYPE_CHECKING:
    from birdcore.csv_table import Problem
    from birdcore.metrics import Matched

PER_CLASS = "per-class"
ON_THIS_TRUTH = (
    "each class has the threshold that is best on this truth: precision, recall and F1 are upper "
    "bounds. --by-class writes the thresholds, and --threshold FILE scores other recordings by them"
)
UNDETECTED = (
    "each window scores its surest detection, or 0: what was below the detector's threshold ties"
)
EVENTS = "Labels with times"


def _option(name: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(name, rich_help_panel=panel, show_default=False, **more)


# fmt: off
def score(
    predictions: Annotated[Path, typer.Argument(
        help="A submission.csv, or what `birdflow detect` wrote: its folder, CSV, Parquet or Raven "
        "table.", show_default=False)],
    truth: Annotated[Path, typer.Argument(
        help="A CSV of labelled rows, wide (row_id, a column for each class) or long (row_id, or "
        "filename, start and end; labels), or a table of labels with times (Raven and others), or "
        "a folder of such tables.", show_default=False)],
    *,
    threshold: Annotated[str | None, _option(
        "--threshold", metavar="T", help="Report precision, recall and F1 of what scores at least "
        f"T: a number, the best of each class on this truth ({PER_CLASS}), or a CSV with columns "
        "class and threshold.")] = None,
    protocol: Annotated[Literal["birdset"] | None, _option(
        "--protocol", help="Report what a benchmark does: cmAP, AUROC and top-1.")] = None,
    by_class: Annotated[Path | None, _option(
        "--by-class", metavar="FILE", help="Write each class's scores to a CSV.")] = None,
    bootstrap: Annotated[int, typer.Option(
        metavar="N", min=1, help="Bootstrap samples of the intervals.")] = 1000,
    min_overlap: Annotated[float, typer.Option(
        metavar="SHARE", rich_help_panel=EVENTS,
        help="The least overlap of a detection and a true event that are the same.")] = 0.5,
    overlap_of: Annotated[Literal["union", "event"], typer.Option(
        rich_help_panel=EVENTS, help="What the overlap is a share of: what both cover together, or "
        "the true event alone, for detections in windows longer than a call.")] = "union",
    label: Annotated[str | None, _option(
        "--label", EVENTS, metavar="NAME", help="The label of tables without one; `folder` and "
        "`table` take the name of the folder or table.")] = None,
    label_column: Annotated[str | None, _option(
        "--label-column", EVENTS, metavar="NAME", help="The column of labels.")] = None,
    silent: Annotated[bool, _option(
        "--silent", EVENTS, help="In a recording without a table nothing is heard; else it is not "
        "scored.")] = False,
    debug: Debug = False,
) -> None:
    # fmt: on
    """Score predictions against true labels. Intervals (95 %) resample recordings."""
    from birdcore.detection.read import are_detections
    from birdcore.metrics.truth import has_rows

    found = are_detections(predictions)
    settings = {"label": label, "label_column": label_column, "complete": True}
    settings |= {"without_table": "silent"} if silent else {}
    with doing("scoring"):
        if found and not has_rows(truth):
            if protocol is not None or threshold == PER_CLASS:
                option = "--protocol" if protocol else f"--threshold {PER_CLASS}"
                raise typer.BadParameter("it is for rows, not for events", param_hint=option)
            said = _events(
                predictions, truth, by_class, bootstrap, threshold=_limit(threshold),
                min_overlap=min_overlap, of=overlap_of, settings=settings,
            )
        else:
            both, notes = _matched(predictions, truth, found, settings)
            said = _rows(both, by_class, bootstrap, threshold, protocol)
            said.notes.extend(notes)
    for line in said.lines:
        out.print(line)
    for line in said.notes:
        err.print(line)


class _Said(NamedTuple):
    """What a command prints: scores, and what was not scored."""

    lines: list[str]
    notes: list[str]


def _matched(
    predictions: Path, truth: Path, are_detections: bool, settings: dict[str, Any]
) -> tuple[Matched, list[str]]:
    """Predictions and truth by rows, and what of them does not fit."""
    from birdcore.config import Annotations
    from birdcore.detection.window_scores import label_windows, score_windows
    from birdcore.metrics import match_scorable
    from birdcore.metrics.files import check_scorable
    from birdcore.metrics.truth import has_rows

    notes: list[str] = []
    if are_detections:
        both = score_windows(predictions, truth)
        notes.append(UNDETECTED)
    elif truth.exists() and not has_rows(truth):
        both, problems = label_windows(predictions, truth, Annotations.model_validate(settings))
        notes += map(_line, problems)
    else:
        return match_scorable(predictions, truth), notes
    check_scorable(both, predictions, truth)
    return both, notes


def _line(problem: Problem) -> str:
    return f"{problem.where}: {problem.problem}: {problem.detail}"


def _rows(
    both: Matched,
    by_class: Path | None,
    bootstrap: int,
    threshold: str | None,
    protocol: str | None,
) -> _Said:
    """Score rows."""
    import numpy as np

    from birdcore.metrics import best_thresholds, evaluate_rows
    from birdcore.metrics.class_table import read_thresholds, write_classes
    from birdcore.stages.score import ENSEMBLE
    from flows.score_lines import not_scored, score_table

    best = threshold == PER_CLASS
    limits = best_thresholds(both.truth, both.scores) if best else _limit(threshold)
    found = evaluate_rows(
        both.truth,
        both.scores,
        both.recordings,
        generator=np.random.default_rng(0),
        rounds=bootstrap,
        thresholds=read_thresholds(limits, both.labels) if isinstance(limits, Path) else limits,
        birdset=protocol == "birdset",
    )
    if by_class is not None:
        write_classes(by_class, both.labels, found.by_class)
    auc, precision = sorted(found.estimates[:2], key=lambda one: one.name == "cmAP")
    lines = [
        f"macro ROC-AUC {auc.value:.6f} (95 % interval {auc.low:.4f} to {auc.high:.4f}), "
        f"cmAP {precision.value:.6f}, {auc.over}, {len(both.row_ids)} rows"
    ]
    if threshold is not None or protocol is not None:
        lines += score_table(found.estimates)
    notes = [ON_THIS_TRUTH] if best else []
    missing = {"rows_missing": both.rows_missing, "classes_missing": both.classes_missing}
    return _Said(lines, notes + not_scored({ENSEMBLE: missing}, why=""))


def _events(
    predictions: Path,
    truth: Path,
    by_class: Path | None,
    bootstrap: int,
    *,
    threshold: float | Path | None,
    min_overlap: float,
    of: Literal["union", "event"],
    settings: dict[str, Any],
) -> _Said:
    """Score detections by events."""
    import numpy as np

    from birdcore.config import Annotations
    from birdcore.detection.scoring import score_events
    from birdcore.metrics.class_table import write_classes
    from birdcore.text import first_of
    from flows.score_lines import score_table

    scores = score_events(
        predictions,
        truth,
        Annotations.model_validate(settings),
        generator=np.random.default_rng(0),
        rounds=bootstrap,
        threshold=threshold,
        min_overlap=min_overlap,
        of=of,
    )
    if by_class is not None:
        write_classes(by_class, scores.labels, scores.evaluation.by_class)
    f1 = next(one for one in scores.evaluation.estimates if one.name == "F1, micro")
    lines = [
        f"event F1 {f1.value:.6f} (95 % interval {f1.low:.4f} to {f1.high:.4f}), {scores.true} "
        f"events, {scores.found} detections, {scores.recordings} recordings, overlap at least "
        f"{min_overlap:g} of the {of}",
        *score_table(scores.evaluation.estimates),
    ]
    notes = [_line(each) for each in scores.problems]
    if not scores.all_known:
        notes.append(
            "no files.csv beside the detections: recordings without any are not known, nor scored"
        )
    if scores.outside:
        notes.append(f"not scored: {scores.outside} detections in recordings without labels")
    if scores.never_found:
        notes.append(f"no detection anywhere of {first_of(scores.never_found, 5)}")
    return _Said(lines, notes)


def _limit(given: str | None) -> float | Path | None:
    """A threshold, or the table that has them."""
    try:
        number = None if given is None else float(given)
    except ValueError:
        if not Path(given or "").is_file():
            raise typer.BadParameter(
                f"{given!r} is no number, no file, and not {PER_CLASS}", param_hint="--threshold"
            ) from None
        return Path(given or "")
    if number is not None and number != number:
        raise typer.BadParameter("it is no number", param_hint="--threshold")
    return number
