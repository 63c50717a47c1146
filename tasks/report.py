"""The task `report`: see `birdcore.report.report`."""

from birdcore.report import report as stage
from tasks.stage import stage_task

report = stage_task("report", stage.run)
