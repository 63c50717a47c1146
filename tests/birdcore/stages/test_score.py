"""The score stage: the submission and every round against the truth, where there is one."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from birdcore.config import Score
from birdcore.csv_table import TableError
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.sources.tables import Tables
from birdcore.stages import score
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job, Store

TRUTH = "test_soundscapes_labels.csv"
ROWS = [f"s{i}_{end}" for i in range(4) for end in (5, 10, 15)]


def source(root: Path, soundscapes: Sequence[str] = ("s0", "s1", "s2", "s3")) -> Source:
    tables = Tables(pd.DataFrame(), pd.DataFrame(), ("a", "b", "c"), ())
    files = tuple(SourceFile(f"test_soundscapes/{name}.ogg", 0, "") for name in soundscapes)
    return Source("birdclef", root, (Subset("test_soundscapes", "test", files),), {}, tables)


def table(values: np.ndarray, rows: list[str] = ROWS) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list("abc")).set_axis(rows).rename_axis("row_id")


def submission(store: Store, tables: dict[str, pd.DataFrame]) -> Ref:
    def run(job: Job) -> Metrics:
        (job.folder / "rounds").mkdir()
        for name, content in tables.items():
            content.to_csv(job.folder / name)
        return {}

    inputs: dict[str, tuple[Ref, ...]] = {
        f"round {Path(name).stem}": () for name in tables if name.startswith("rounds/")
    }
    return store.make(Step("submission", 1, "submission", inputs=inputs), run).ref


@pytest.fixture
def truth(tmp_path: Path) -> np.ndarray:
    values = (np.random.default_rng(0).random((12, 3)) < 0.4).astype(int)
    values[:, 2] = 0  # a class that never occurs
    table(values).to_csv(tmp_path / TRUTH)
    return values


def test_submission_and_rounds_are_scored_as_scikit_learn_does(
    store: Store, tmp_path: Path, truth: np.ndarray
) -> None:
    rng = np.random.default_rng(1)
    blended, own = rng.random((2, 12, 3))
    order = rng.permutation(12)
    ref = submission(
        store,
        {
            "submission.csv": table(blended).iloc[order],
            "rounds/round-1.csv": table(own)[["c", "a", "b"]],
        },
    )
    step = score.step(Score(bootstrap=50), source(tmp_path), ref)
    assert step is not None
    artifact = store.make(step, score.run)
    scores = json.loads((artifact / "scores.json").read_text())
    assert list(scores) == ["round-1", "ensemble"]
    for name, values in (("ensemble", blended), ("round-1", own)):
        expected = roc_auc_score(truth[:, :2], values[:, :2], average="macro")
        assert scores[name]["macro_auc"] == pytest.approx(expected, abs=1e-9)
        assert scores[name]["macro_auc_low"] < expected < scores[name]["macro_auc_high"]
        assert artifact.metrics[name] == round(expected, 4)
    assert artifact.metrics["classes_scored"] == 2
    again = store.make(step, score.run, refresh=True)
    assert json.loads((again / "scores.json").read_text()) == scores


def test_without_a_truth_there_is_no_step(tmp_path: Path) -> None:
    assert score.step(Score(), source(tmp_path), Ref("submission", "0")) is None


def test_another_truth_is_another_step(tmp_path: Path, truth: np.ndarray) -> None:
    ref = Ref("submission", "0")
    before = score.step(Score(), source(tmp_path), ref)
    (tmp_path / TRUTH).write_text((tmp_path / TRUTH).read_text().replace("s0", "t0"))
    after = score.step(Score(), source(tmp_path), ref)
    assert before is not None
    assert after is not None
    assert before.key != after.key


def test_rows_of_the_truth_that_the_submission_lacks_are_left_out_and_counted(
    store: Store, tmp_path: Path, truth: np.ndarray
) -> None:
    given = np.random.default_rng(1).random((12, 3))
    heard = [at for at, row in enumerate(ROWS) if not row.startswith("s2_")]
    ref = submission(store, {"submission.csv": table(given).iloc[heard][["a", "b"]]})
    step = score.step(Score(bootstrap=50), source(tmp_path), ref)
    assert step is not None
    artifact = store.make(step, score.run)
    scores = json.loads((artifact / "scores.json").read_text())["ensemble"]
    expected = roc_auc_score(truth[heard, :2], given[heard, :2], average="macro")
    assert scores["macro_auc"] == pytest.approx(expected, abs=1e-9)
    assert scores["rows_missing"] == ["s2_5", "s2_10", "s2_15"]
    assert scores["classes_missing"] == ["c"]
    assert artifact.metrics["rows_missing"] == 3
    assert artifact.metrics["classes_missing"] == 1


def test_where_nothing_can_be_scored_the_stage_says_so_and_does_not_fail(
    store: Store, tmp_path: Path, truth: np.ndarray
) -> None:
    header = table(np.zeros((12, 3))).iloc[:0]
    step = score.step(Score(), source(tmp_path), submission(store, {"submission.csv": header}))
    assert step is not None
    artifact = store.make(step, score.run)
    assert json.loads((artifact / "scores.json").read_text()) == {}
    assert artifact.metrics["classes_scored"] == 0
    assert "none of the 12 rows" in artifact.metrics["why"]


def test_a_truth_of_other_soundscapes_is_no_step(tmp_path: Path, truth: np.ndarray) -> None:
    ref = Ref("submission", "0")
    assert score.step(Score(), source(tmp_path, ["t0", "t1"]), ref) is None
    assert score.step(Score(), source(tmp_path, ["t0", "s1"]), ref) is not None


def test_a_truth_that_is_no_table_or_tells_two_soundscapes_not_apart_is_refused_before_work(
    tmp_path: Path, truth: np.ndarray
) -> None:
    ref = Ref("submission", "0")
    with pytest.raises(TableError, match="there are test_soundscapes/b/s1"):
        score.step(Score(), source(tmp_path, ["s0", "b/s1", "c/s1"]), ref)
    (tmp_path / TRUTH).write_text("filename,start,end\n")
    with pytest.raises(ValueError, match="no column row_id"):
        score.step(Score(), source(tmp_path), ref)
