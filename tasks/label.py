"""The task `label`: see `birdcore.stages.label`."""

from birdcore.stages import label as stage
from tasks.stage import stage_task

label = stage_task("label", stage.run)
