"""The task `predict`: see `birdcore.predict.predict`."""

from birdcore.predict import predict as stage
from tasks.stage import stage_task

predict = stage_task("predict", stage.run)
