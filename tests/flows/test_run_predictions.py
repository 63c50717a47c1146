"""What a run has predicted is reviewed without another prediction."""

import csv
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from birdcore.models.probe import Probe, ProbeSpec, save_probe
from birdcore.pseudo_labels.labels import SCHEMA, write_labels
from birdcore.pseudo_labels.teacher import Teacher
from birdcore.store.artifact import Step
from birdcore.store.job import Job
from birdcore.store.run_records import run_request
from birdcore.store.runs import recorded
from birdcore.store.store import Store
from birdcore.teachers.external_teacher import Credit
from birdcore.teachers.outputs import TeacherInfo, write_outputs
from birdcore.teachers.teacher_use import TeacherUse
from flows.cli import main
from flows.result_folder import write_results_to
from flows.run_predictions import predicted
from tests.support.browser import Tab
from tests.support.review import served

CLASSES = ("wren", "robin")
Write = Callable[[Path], None]
Until = Callable[..., None]


class Made:
    """A store and a results folder of a run whose artifacts are written by hand."""

    def __init__(self, folder: Path) -> None:
        self.store, self.out, self.data = Store(folder / "store"), folder / "out", folder / "data"
        self.steps: list[Step] = []
        self.data.mkdir()
        write_results_to(self.out, {"model/classes.csv": "class,common_name\nwren,Winter Wren\n"})

    def add(self, stage: str, name: str, write: Write, **config: object) -> None:
        step = Step(stage, 1, name, config or {"name": name})

        def run(job: Job) -> dict[str, object]:
            write(job.folder)
            return {}

        self.store.make(step, run)
        self.steps.append(step)

    def end(self) -> None:
        with recorded(self.store, run_request("r.toml", self.data, self.out), self.steps):
            pass


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def labels(recording: str, p: list[list[float]]) -> Write:
    """Labels of segments of 5 s."""
    rows = pd.DataFrame(
        {
            "recording": [recording] * len(p),
            "start": np.arange(len(p)) * 5.0,
            "end": np.arange(len(p)) * 5.0 + 5,
            "probabilities": [np.float32(row) for row in p],
            "labels": [np.float32([0, 0])] * len(p),
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


def test_the_mean_of_the_teachers_of_the_last_student(made: Made) -> None:
    made.add("label", "label for first soundscapes 0000", labels("s/a.ogg", [[1, 1]]))
    made.add("label", "label for last clips 0000", labels("c/a.ogg", [[1, 1]]))
    for fold, p in enumerate(([[0.9, 0], [0, 0.2]], [[0.5, 0], [0, 0.1]])):
        made.add("label", f"label for last soundscapes 0000 fold {fold}", labels("s/a.ogg", p))
    made.end()
    said = predicted(made.store, made.out)
    table = said.detections
    assert said.root == made.data
    assert said.source == "soundscapes, as labelled for last"
    rows = zip(table["file"], table["class"], table["common_name"], table["start_s"], strict=True)
    assert list(rows) == [("s/a.ogg", "wren", "Winter Wren", 0), ("s/a.ogg", "robin", "robin", 5)]
    assert table["confidence"].tolist() == pytest.approx([0.7, 0.15])
    assert len(predicted(made.store, made.out, 0.5).detections) == 1
    with pytest.raises(ValueError, match=r"no class is as probable as 0\.95 in any soundscapes"):
        predicted(made.store, made.out, 0.95)


def heard(kind: str) -> Write:
    """Outputs of a teacher for four windows of a recording: loud in the third."""
    credit = Credit("Fake", "nobody", "CC0", "https://example.org", "none")
    embeddings = np.float16([[0], [0], [4], [0]])

    def write(folder: Path) -> None:
        write_outputs(
            folder / "heard.parquet",
            TeacherInfo(3.0, (), credit),
            [f"{kind}/a.ogg"] * 4,
            np.arange(4) * 1.5,
            embeddings,
            np.zeros((4, 0), np.float16),
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


def test_probes_say_what_is_in_the_windows_that_their_teacher_has_heard(made: Made) -> None:
    made.add("catalog", "catalog", species)
    for kind in ("train_audio", "train_soundscapes", "test_soundscapes"):
        of = {"teacher": "birdnet", "kind": kind}
        name = f"external_teacher birdnet {kind}/0000"
        made.add("external_teacher", name, heard(kind), **of, model={"m": "1"})
        made.add("external_teacher", name, (lambda folder: None), **of, model={"m": "2"})
    made.add("probe", "probe head fold 0", probe)
    made.end()
    said = predicted(made.store, made.out)
    assert said.source == "unlabelled recordings, by probe head"
    best = said.detections.sort_values("confidence").iloc[-1]
    assert (best["file"], best["class"]) == ("train_soundscapes/a.ogg", "wren")
    assert (best["start_s"], best["end_s"]) == (3.0, 6.0)
    assert set(said.detections["file"]) == {"train_soundscapes/a.ogg"}


def rows_of_test(made: Made) -> None:
    def submission(folder: Path) -> None:
        (folder / "submission.csv").write_text("row_id,wren,robin\na_5,.9,0\nb_5,.9,.9\n")

    def predictions(folder: Path) -> None:
        table = pa.table({"recording": ["test/x/a.ogg"]})
        pq.write_table(table, folder / "predictions.parquet")

    made.add("submission", "submission", submission)
    made.add("predict", "predict head 0000", predictions, segment_s=5)


def test_rows_of_a_submission_are_reviewed_where_no_truth_is_known(made: Made) -> None:
    rows_of_test(made)
    made.end()
    table = predicted(made.store, made.out).detections
    assert table[["file", "class", "start_s", "end_s"]].values.tolist() == [
        ["test/x/a.ogg", "wren", 0.0, 5.0]
    ]


def test_a_test_whose_truth_is_known_is_left_alone(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_of_test(made)
    made.add("score", "score", lambda folder: None)
    (made.data / "train_soundscapes").mkdir()
    made.end()
    words = ["review", str(made.out), "--store", str(made.store.root)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    detect = f"birdflow detect {made.data}/train_soundscapes --model {made.out} --out {made.out}-"
    assert detect in line
    assert not (made.out / "verdicts").exists()


def test_refusals_are_of_one_line(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Store(tmp_path / "other")
    for store, message in (
        (tmp_path, "is not a store: name one with --store"),
        (other.root, f"no run in the store {other.root} has written {made.out}"),
    ):
        assert main(["review", str(made.out), "--store", str(store)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_run_is_reviewed_in_a_browser(
    made: Made, shared_data: Path, tab: Tab, until: Until
) -> None:
    day = sorted((shared_data / "field" / "recorder-day").iterdir())[0]
    name = f"train_soundscapes/{day.name}"
    (made.data / name).parent.mkdir()
    shutil.copyfile(day, made.data / name)
    made.add("label", "label for taught soundscapes 0000", labels(name, [[0.6, 0], [0, 0.9]]))
    made.end()
    with served(made.out, 0, "--store", made.store.root) as (process, address):
        tab.open(address)
        until(lambda: tab.value("document.getElementById('picture').naturalWidth > 100"))
        assert tab.value("document.getElementById('name').textContent") == "Winter Wren"
        assert name in tab.value("document.getElementById('place').textContent")
        tab.press("y")
        until(lambda: tab.value("document.getElementById('count').textContent") == "1 of 2")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    with (made.out / "verdicts" / "ana.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["recording"], row["label"], row["label_type"]) == (name, "wren", "positive")
    assert (row["start_offset_s"], row["end_offset_s"]) == ("0", "5")
