"""The task `mel`: see `birdcore.stages.mel`."""

from birdcore.stages import mel as stage
from tasks.stage import stage_task

mel = stage_task("mel", stage.run)
