"""The task `fingerprint`: see `birdcore.audio.fingerprint`."""

from birdcore.audio import fingerprint as stage
from tasks.stage import stage_task

fingerprint = stage_task("fingerprint", stage.run)
