"""The task `leaks`: see `birdcore.stages.leaks`."""

from birdcore.stages import leaks as stage
from tasks.stage import stage_task

leaks = stage_task("leaks", stage.run)
