"""How good predictions are: the metrics of BirdCLEF, their files, and the stage `score`."""

from birdcore.score.files import Scores, Submission, read_submission, score_files
from birdcore.score.metrics import bootstrap, class_auc, cmap, macro_auc

__all__ = [
    "Scores",
    "Submission",
    "bootstrap",
    "class_auc",
    "cmap",
    "macro_auc",
    "read_submission",
    "score_files",
]
