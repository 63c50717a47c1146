"""The task `leaks`: see `birdcore.catalog.leaks`."""

from birdcore.catalog import leaks as stage
from tasks.stage import stage_task

leaks = stage_task("leaks", stage.run)
