"""The task `ensemble`: see `birdcore.stages.ensemble`."""

from birdcore.stages import ensemble as stage
from tasks.stage import stage_task

ensemble = stage_task("ensemble", stage.run)
