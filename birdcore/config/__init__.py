"""The recipe: one TOML file that says what to build, read into typed, frozen models.

Every setting has its meaning and its allowed values here, and nothing else may be set: a wrong
key or value is refused before any work, with file, line, key, what is allowed and the nearest
right spelling.
"""

from birdcore.config.after_prediction import AfterPrediction
from birdcore.config.annotations import Annotations
from birdcore.config.archive import Criteria
from birdcore.config.augment import Background, Mask, Mixup, Sumix
from birdcore.config.inaturalist import INaturalist
from birdcore.config.layers import RecipeError, find_recipe
from birdcore.config.mel import Mel
from birdcore.config.read import read_recipe
from birdcore.config.recipe import (
    Clean,
    Ensemble,
    Export,
    Folds,
    Predict,
    Recipe,
    Score,
    Shards,
)
from birdcore.config.round import PseudoLabels, Round
from birdcore.config.section import Output, defaults_of
from birdcore.config.xeno_canto import XenoCanto

__all__ = [
    "AfterPrediction",
    "Annotations",
    "Background",
    "Clean",
    "Criteria",
    "Ensemble",
    "Export",
    "Folds",
    "INaturalist",
    "Mask",
    "Mel",
    "Mixup",
    "Output",
    "Predict",
    "PseudoLabels",
    "Recipe",
    "RecipeError",
    "Round",
    "Score",
    "Shards",
    "Sumix",
    "XenoCanto",
    "defaults_of",
    "find_recipe",
    "read_recipe",
]
