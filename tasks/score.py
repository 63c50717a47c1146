"""The task `score`: see `birdcore.score.score`."""

from birdcore.score import score as stage
from tasks.stage import stage_task

score = stage_task("score", stage.run)
