"""A run whose artifacts are written by hand, for commands that read what a run has left."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from birdcore.models.probe import Probe, ProbeSpec, save_probe
from birdcore.pseudo_labels.labels import SCHEMA, write_labels
from birdcore.pseudo_labels.teacher import Teacher
from birdcore.store.artifact import Ref, Step
from birdcore.store.job import Job
from birdcore.store.run_records import run_request
from birdcore.store.runs import recorded
from birdcore.store.store import Store
from birdcore.teachers.external_teacher import Credit
from birdcore.teachers.outputs import TeacherInfo, write_outputs
from birdcore.teachers.teacher_use import TeacherUse
from flows.result_folder import write_results_to

CLASSES = ("wren", "robin")
Write = Callable[[Path], None]


class MadeRun:
    """A store and a results folder of a run whose artifacts are written by hand."""

    def __init__(self, folder: Path) -> None:
        self.store, self.out, self.data = Store(folder / "store"), folder / "out", folder / "data"
        self.steps: list[Step] = []
        self.data.mkdir()
        write_results_to(self.out, {"model/classes.csv": "class,common_name\nwren,Winter Wren\n"})

    def add(
        self,
        stage: str,
        name: str,
        write: Write,
        inputs: Mapping[str, tuple[Ref, ...]] | None = None,
        **config: object,
    ) -> Ref:
        step = Step(stage, 1, name, config or {"name": name}, inputs or {})

        def run(job: Job) -> dict[str, object]:
            write(job.folder)
            return {}

        self.store.make(step, run)
        self.steps.append(step)
        return step.ref

    def end(self) -> None:
        with recorded(self.store, run_request("r.toml", self.data, self.out), self.steps):
            pass


def labels(said: Mapping[str, Sequence[Sequence[float]]]) -> Write:
    """Labels of segments of 5 s, by recording."""
    p = [np.float32(row) for rows in said.values() for row in rows]
    start = np.concatenate([np.arange(len(rows)) * 5.0 for rows in said.values()])
    rows = pd.DataFrame(
        {
            "recording": np.repeat(list(said), [len(rows) for rows in said.values()]),
            "start": start,
            "end": start + 5,
            "probabilities": p,
            "labels": p,
            "mask": [np.array([True, True])] * len(p),
            "kept": [True] * len(p),
        },
        columns=SCHEMA.names,
    )
    teacher = Teacher(CLASSES, {})
    return lambda folder: write_labels(folder / "labels.parquet", rows, teacher, [], 1.0)


def species(folder: Path) -> None:
    table = pd.DataFrame({"label": CLASSES, "scientific_name": ["T. troglodytes", "E. rubecula"]})
    table.to_parquet(folder / "species.parquet")


def heard(*recordings: str, hop_s: float = 1.5) -> Write:
    """Outputs of a teacher for four windows of recordings: loud in the third."""
    credit = Credit("Fake", "nobody", "CC0", "https://example.org", "none")
    count = len(recordings)
    embeddings = np.tile(np.float16([[0], [0], [4], [0]]), (count, 1))

    def write(folder: Path) -> None:
        write_outputs(
            folder / "heard.parquet",
            TeacherInfo(3.0, (), credit),
            list(np.repeat(recordings, 4)),
            np.tile(np.arange(4) * hop_s, count),
            embeddings,
            np.zeros((4 * count, 0), np.float16),
        )

    return write


def probe(folder: Path) -> None:
    import torch

    made = Probe(ProbeSpec(classes=CLASSES, width=1, hidden=0, pool="max"))
    with torch.no_grad():
        made.classifier.weight.copy_(torch.tensor([[[1.0]], [[-1.0]]]))
        made.classifier.bias.zero_()
    save_probe(folder, made)
    TeacherUse(teacher="birdnet", model={"m": "1"}, species=CLASSES).write(folder)
