"""Every stage once: its name, where its code is, and what others must know of it.

The DAG, the Prefect tasks, the lineage, the benchmarks and the tests read this table. A new stage
is a file beside this one, with `step` (which declares the work) and `run` (which does it), one
row below, and its place in `flows/dag.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from birdcore.store.artifact import Artifact, Metrics, Progress, Step
from birdcore.store.store import Job, Store

RECORDINGS = {"recordings": "recordings"}


@dataclass(frozen=True)
class Stage:
    """What is known of a stage without importing its code.

    Attributes:
        name: The stage's name, which is that of its module and of its folder in a store.
        sharded: There is a step for each shard of recordings.
        resumes: A step that was killed continues from its work folder.
        counts: Metrics that the lineage shows, each with the word for it.
    """

    name: str
    sharded: bool = False
    resumes: bool = False
    counts: Mapping[str, str] = field(default_factory=lambda: RECORDINGS)

    @property
    def module(self) -> str:
        """The import path of the stage's code."""
        return f"{__package__}.{self.name}"


USABLE = {"recordings": "recordings", "usable": "usable", "species": "species"}
STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("catalog", counts=USABLE),
        Stage("clean", sharded=True, counts=RECORDINGS | {"rejected": "rejected"}),
        Stage("mel", sharded=True),
        Stage("fingerprint", sharded=True),
        Stage("leaks", sharded=True, counts={"recordings": "leaks"}),
        Stage("collection", counts=USABLE),
        Stage("joined", counts=USABLE),
        Stage("folds"),
        Stage("external_teacher", sharded=True, counts=RECORDINGS | {"windows": "windows"}),
        Stage("embedding_index", counts={"windows": "windows"}),
        Stage(
            "train",
            resumes=True,
            counts={"trained_on": "trained on", "held_out": "held out", "segments": "segments"},
        ),
        Stage("probe", counts={"trained_on": "trained on", "held_out": "held out"}),
        Stage("export", counts={"windows": "windows compared"}),
        Stage(
            "label",
            sharded=True,
            counts=RECORDINGS | {"segments": "segments", "kept": "kept"},
        ),
        Stage("ensemble"),
        Stage("predict", sharded=True),
        Stage("submission", counts={"rows": "rows", "classes": "classes"}),
        Stage("score"),
        Stage("report"),
    )
}
"""All stages by name, each after those whose artifacts it reads first."""


TRAINS = ("train", "probe")
"""The stages whose artifacts are models, with their attribution and what they held out."""


def make(step: Step, store: Store, progress: Progress, *, refresh: bool) -> Artifact:
    """A step's artifact: the one in the store, or made now by the code of its stage.

    Args:
        step: Of one of the stages.
        store: Where its inputs are, and where it is published.
        progress: Called with how much is done, how much there is, and a text.
        refresh: Make it again where it is there.

    Raises:
        KeyError: There is no such stage.
    """
    run, resumes = load_run(step.stage), STAGES[step.stage].resumes
    return store.make(step, run, progress, resumes=resumes, refresh=refresh)


def load_run(name: str) -> Callable[[Job], Metrics]:
    """The function that makes a stage's artifacts, imported now.

    Raises:
        KeyError: No stage has this name.
    """
    run: Callable[[Job], Metrics] = import_module(STAGES[name].module).run
    return run
