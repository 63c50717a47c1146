"""The task `folds`: see `birdcore.catalog.folds`."""

from birdcore.catalog import folds as stage
from tasks.stage import stage_task

folds = stage_task("folds", stage.run)
