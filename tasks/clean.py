"""The task `clean`: see `birdcore.audio.clean`."""

from birdcore.audio import clean as stage
from tasks.stage import stage_task

clean = stage_task("clean", stage.run)
