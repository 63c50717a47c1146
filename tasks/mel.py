"""The task `mel`: see `birdcore.mel.mel`."""

from birdcore.mel import mel as stage
from tasks.stage import stage_task

mel = stage_task("mel", stage.run)
