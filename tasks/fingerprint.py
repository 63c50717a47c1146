"""The task `fingerprint`: see `birdcore.stages.fingerprint`."""

from birdcore.stages import fingerprint as stage
from tasks.stage import stage_task

fingerprint = stage_task("fingerprint", stage.run)
