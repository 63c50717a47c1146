"""The task `outside`: see `birdcore.outside.outside`."""

from birdcore.outside import outside as stage
from tasks.stage import stage_task

outside = stage_task("outside", stage.run)
