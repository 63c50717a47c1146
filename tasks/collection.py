"""The task `collection`: see `birdcore.collect.collection`."""

from birdcore.collect import collection as stage
from tasks.stage import stage_task

collection = stage_task("collection", stage.run)
