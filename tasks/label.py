"""The task `label`: see `birdcore.label.label`."""

from birdcore.label import label as stage
from tasks.stage import stage_task

label = stage_task("label", stage.run)
