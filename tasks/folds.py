"""The task `folds`: see `birdcore.stages.folds`."""

from birdcore.stages import folds as stage
from tasks.stage import stage_task

folds = stage_task("folds", stage.run)
