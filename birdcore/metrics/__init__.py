"""How good predictions are: the metrics of BirdCLEF and BirdSet, intervals, and score files."""

from birdcore.metrics.decisions import best_thresholds
from birdcore.metrics.evaluation import Estimate, Evaluation, evaluate_rows
from birdcore.metrics.files import (
    Matched,
    NothingToScore,
    Scores,
    match_files,
    match_scorable,
    score_files,
)
from birdcore.metrics.metrics import class_auc, class_average_precision, cmap, macro_auc, top1
from birdcore.metrics.resampling import bootstrap
from birdcore.metrics.submission import Submission, read_submission
from birdcore.metrics.truth import read_truth

__all__ = [
    "Estimate",
    "Evaluation",
    "Matched",
    "NothingToScore",
    "Scores",
    "Submission",
    "best_thresholds",
    "bootstrap",
    "class_auc",
    "class_average_precision",
    "cmap",
    "evaluate_rows",
    "macro_auc",
    "match_files",
    "match_scorable",
    "read_submission",
    "read_truth",
    "score_files",
    "top1",
]
