"""The task `predict`: see `birdcore.stages.predict`."""

from birdcore.stages import predict as stage
from tasks.stage import stage_task

predict = stage_task("predict", stage.run)
