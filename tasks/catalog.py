"""The task `catalog`: see `birdcore.stages.catalog`."""

from birdcore.stages import catalog as stage
from tasks.stage import stage_task

catalog = stage_task("catalog", stage.run)
