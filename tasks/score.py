"""The task `score`: see `birdcore.stages.score`."""

from birdcore.stages import score as stage
from tasks.stage import stage_task

score = stage_task("score", stage.run)
