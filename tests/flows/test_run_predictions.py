"""What a run has predicted is reviewed without another prediction."""

import csv
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from flows.cli import main
from flows.run_predictions import predicted
from tests.support.browser import Tab
from tests.support.made_run import MadeRun, heard, labels, probe, species
from tests.support.review import served

Until = Callable[..., None]


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    return MadeRun(tmp_path)


def test_the_mean_of_the_teachers_of_the_last_student(made: MadeRun) -> None:
    made.add("label", "label for first soundscapes 0000", labels({"s/a.ogg": [[1, 1]]}))
    made.add("label", "label for last clips 0000", labels({"c/a.ogg": [[1, 1]]}))
    for fold, p in enumerate(([[0.9, 0], [0, 0.2]], [[0.5, 0], [0, 0.1]])):
        made.add("label", f"label for last soundscapes 0000 fold {fold}", labels({"s/a.ogg": p}))
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


def test_probes_say_what_is_in_the_windows_that_their_teacher_has_heard(made: MadeRun) -> None:
    made.add("catalog", "catalog", species)
    for kind in ("train_audio", "train_soundscapes", "test_soundscapes"):
        of = {"teacher": "birdnet", "hop_s": 1.5, "kind": kind}
        name = f"external_teacher birdnet {kind}/0000"
        made.add("external_teacher", name, heard(f"{kind}/a.ogg"), **of, model={"m": "1"})
        made.add("external_teacher", name, (lambda folder: None), **of, model={"m": "2"})
    made.add("probe", "probe head fold 0", probe)
    made.end()
    said = predicted(made.store, made.out)
    assert said.source == "unlabelled recordings, by probe head"
    best = said.detections.sort_values("confidence").iloc[-1]
    assert (best["file"], best["class"]) == ("train_soundscapes/a.ogg", "wren")
    assert (best["start_s"], best["end_s"]) == (3.0, 6.0)
    assert set(said.detections["file"]) == {"train_soundscapes/a.ogg"}


def test_rounds_go_by_the_names_that_the_run_has_for_them(made: MadeRun) -> None:
    """Not by a manifest's, which an earlier run wrote that called the same round otherwise."""
    two_hops(made)
    made.add("probe", "probe other fold 0", probe, fold=0)
    made.steps.pop()
    for fold in (0, 1):
        made.add("probe", f"probe head fold {fold}", probe, fold=fold)
    made.end()
    assert predicted(made.store, made.out).source == "unlabelled recordings, by probe head"


def two_hops(made: MadeRun) -> dict[float, Ref]:
    """A teacher that has heard two shards every 1.5 s and every 3 s: its outputs for clips."""
    made.add("catalog", "catalog", species)
    of_clips = {}
    for hop_s in (3.0, 1.5):
        for kind, shard in (("train_audio", 0), ("train_soundscapes", 0), ("train_soundscapes", 1)):
            ref = made.add(
                "external_teacher",
                f"external_teacher birdnet {kind}/{shard:04d}",
                heard(f"{kind}/{shard}.ogg", hop_s=hop_s),
                teacher="birdnet", model={"m": "1"}, hop_s=hop_s, of=f"{kind} {shard}",
            )  # fmt: skip
            of_clips.setdefault(hop_s, ref)
    return of_clips


def starts_of(made: MadeRun) -> dict[str, float]:
    """Where each recording's most probable window begins: its third."""
    made.end()
    table = predicted(made.store, made.out).detections.sort_values("confidence")
    return dict(zip(table["file"], table["start_s"], strict=True))


@pytest.mark.parametrize("hop_s", [1.5, 3.0])
def test_of_a_model_with_two_hops_what_the_probes_heard_is_read(
    made: MadeRun, hop_s: float
) -> None:
    of_clips = two_hops(made)
    made.add("probe", "probe head fold 0", probe, {"heard": (of_clips[hop_s],)})
    recordings = [f"train_soundscapes/{shard}.ogg" for shard in (0, 1)]
    assert starts_of(made) == dict.fromkeys(recordings, 2 * hop_s)


def test_where_that_is_gone_the_smallest_hop_is_read(made: MadeRun) -> None:
    of_clips = two_hops(made)
    made.add("probe", "probe head fold 0", probe, {"heard": (of_clips[3.0],)})
    shutil.rmtree(made.store.path(of_clips[3.0]))
    assert set(starts_of(made).values()) == {3.0}


def test_a_shard_whose_table_is_gone_is_read_with_the_other_hop(made: MadeRun) -> None:
    of_clips = two_hops(made)
    made.add("probe", "probe head fold 0", probe, {"heard": (of_clips[3.0],)})
    (gone,) = (
        step for step in made.steps
        if step.config.get("of") == "train_soundscapes 1" and step.config["hop_s"] == 3.0
    )  # fmt: skip
    shutil.rmtree(made.store.path(gone.ref))
    assert starts_of(made) == {"train_soundscapes/0.ogg": 6.0, "train_soundscapes/1.ogg": 3.0}


def rows_of_test(made: MadeRun) -> None:
    def submission(folder: Path) -> None:
        (folder / "submission.csv").write_text("row_id,wren,robin\na_5,.9,0\nb_5,.9,.9\n")

    def predictions(folder: Path) -> None:
        table = pa.table({"recording": ["test/x/a.ogg"]})
        pq.write_table(table, folder / "predictions.parquet")

    made.add("submission", "submission", submission)
    made.add("predict", "predict head 0000", predictions, segment_s=5)


def test_rows_of_a_submission_are_reviewed_where_no_truth_is_known(made: MadeRun) -> None:
    rows_of_test(made)
    made.end()
    table = predicted(made.store, made.out).detections
    assert table[["file", "class", "start_s", "end_s"]].values.tolist() == [
        ["test/x/a.ogg", "wren", 0.0, 5.0]
    ]


def test_a_test_whose_truth_is_known_is_left_alone(
    made: MadeRun, capsys: pytest.CaptureFixture[str]
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
    made: MadeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    made: MadeRun, shared_data: Path, tab: Tab, until: Until
) -> None:
    day = sorted((shared_data / "field" / "recorder-day").iterdir())[0]
    name = f"train_soundscapes/{day.name}"
    (made.data / name).parent.mkdir()
    shutil.copyfile(day, made.data / name)
    made.add("label", "label for taught soundscapes 0000", labels({name: [[0.6, 0], [0, 0.9]]}))
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
