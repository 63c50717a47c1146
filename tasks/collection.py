"""The task `collection`: see `birdcore.stages.collection`."""

from birdcore.stages import collection as stage
from tasks.stage import stage_task

collection = stage_task("collection", stage.run)
