"""How good predictions are: the metrics of BirdCLEF, intervals around them, and score files."""

from birdcore.metrics.files import (
    Matched,
    NothingToScore,
    Scores,
    Submission,
    match_files,
    read_submission,
    score_files,
)
from birdcore.metrics.metrics import bootstrap, class_auc, cmap, macro_auc

__all__ = [
    "Matched",
    "NothingToScore",
    "Scores",
    "Submission",
    "bootstrap",
    "class_auc",
    "cmap",
    "macro_auc",
    "match_files",
    "read_submission",
    "score_files",
]
