"""The task `submission`: see `birdcore.stages.submission`."""

from birdcore.stages import submission as stage
from tasks.stage import stage_task

submission = stage_task("submission", stage.run)
