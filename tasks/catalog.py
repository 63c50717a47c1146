"""The task `catalog`: see `birdcore.catalog.catalog`."""

from birdcore.catalog import catalog as stage
from tasks.stage import stage_task

catalog = stage_task("catalog", stage.run)
