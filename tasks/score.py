"""The task `score`: see `birdcore.predict.score`."""

from birdcore.predict import score as stage
from tasks.stage import stage_task

score = stage_task("score", stage.run)
