"""The task `report`: see `birdcore.stages.report`."""

from birdcore.stages import report as stage
from tasks.stage import stage_task

report = stage_task("report", stage.run)
