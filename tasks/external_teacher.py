"""The task `outside`: see `birdcore.stages.external_teacher`."""

from birdcore.stages import external_teacher as stage
from tasks.stage import stage_task

outside = stage_task("outside", stage.run)
