"""The task `submission`: see `birdcore.predict.submission`."""

from birdcore.predict import submission as stage
from tasks.stage import stage_task

submission = stage_task("submission", stage.run)
