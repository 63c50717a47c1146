"""The task `ensemble`: see `birdcore.predict.ensemble`."""

from birdcore.predict import ensemble as stage
from tasks.stage import stage_task

ensemble = stage_task("ensemble", stage.run)
