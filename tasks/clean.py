"""The task `clean`: see `birdcore.stages.clean`."""

from birdcore.stages import clean as stage
from tasks.stage import stage_task

clean = stage_task("clean", stage.run)
