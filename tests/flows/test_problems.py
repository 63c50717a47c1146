"""What `problems.csv` and the notes of a plan say, before and after steps are done."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from birdcore.csv_table import Problem
from birdcore.store.artifact import Metrics, Step
from birdcore.store.store import Job, Store
from flows.dag import Dag
from flows.problems import notes, write_problems
from flows.score_lines import not_scored

NAMES = {"test_soundscapes/a/s.wav": "a/s", "test_soundscapes/b/s.wav": "b/s"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made(store: Store, stage: str, files: dict[str, Any], **config: Any) -> Step:
    def run(job: Job) -> Metrics:
        for name, content in files.items():
            if isinstance(content, pd.DataFrame):
                content.to_parquet(job.folder / name)
            else:
                (job.folder / name).write_text(json.dumps(content))
        return dict(config.get("metrics", {}))

    step = Step(stage, 1, stage, config, files={"truth.csv": "0"})
    store.make(step, run)
    return step


def written(dag: Dag, store: Store, out: Path) -> list[tuple[str, str, str]]:
    write_problems(dag, store, out)
    table = pd.read_csv(out / "problems.csv", keep_default_na=False)
    return list(table.itertuples(index=False, name=None))


def test_notes_name_the_first_of_a_kind_and_count_the_others() -> None:
    many = [Problem("row without a file", f"train.csv:{n}", f"{n}.ogg") for n in range(2, 9)]
    assert notes([Problem("hidden folder", "train_audio/.x", ""), *many]) == [
        "hidden folder: train_audio/.x",
        "row without a file: train.csv:2 (2.ogg)",
        "row without a file: train.csv:3 (3.ogg)",
        "row without a file: train.csv:4 (4.ogg)",
        "row without a file: 4 more",
    ]


def test_what_is_known_is_written_before_anything_has_run(store: Store, tmp_path: Path) -> None:
    lost = Step("submission", 1, "submission")
    dag = Dag((lost,), (Problem("hidden folder", "train_audio/.x", ""),))
    assert written(dag, store, tmp_path / "out") == [("hidden folder", "train_audio/.x", "")]


def test_a_soundscape_without_a_sound_is_named_with_its_rows(store: Store, tmp_path: Path) -> None:
    broken, fine = NAMES
    rejected = pd.DataFrame({"recording": [broken], "reason": ["empty file"]})
    heard = pd.DataFrame({"recording": [fine], "problem": ["cut off after 61.00 s"]})
    tables = {"rejected.parquet": rejected, "problems.parquet": heard}
    cleaned = made(store, "clean", tables, kind="test_soundscapes")
    unheard = pd.DataFrame({"row_id": ["a/s_5", "a/s_10", "b/s_65", "gone_5"]})
    submitted = made(store, "submission", {"unheard.parquet": unheard})
    missing = {"rows_missing": ["a/s_5", "other_5"], "classes_missing": ["robin"]}
    scored = made(store, "score", {"scores.json": {"ensemble": missing}})
    dag = Dag((cleaned, submitted, scored), (), NAMES)
    mean = "hold each class's mean"
    assert written(dag, store, tmp_path / "out") == [
        ("recording used as it is", fine, "cut off after 61.00 s"),
        ("soundscape that can't be used", broken, "empty file"),
        ("rows that nothing was heard for", broken, f"2 rows {mean}: empty file"),
        (
            "rows that nothing was heard for",
            fine,
            f"1 rows {mean}: no segment of the recording ends then",
        ),
        ("rows that nothing was heard for", "gone", f"1 rows {mean}: there is no such soundscape"),
        ("rows of the truth not scored", broken, "1 rows: empty file"),
        ("rows of the truth not scored", "other", "1 rows: there is no such soundscape"),
        ("class of the truth not scored", "truth.csv", "robin is no class of the run"),
    ]


def test_folds_and_scores_that_could_not_be_are_told(store: Store, tmp_path: Path) -> None:
    folded = made(store, "folds", {}, metrics={"note": "by recording"})
    scored = made(store, "score", {"scores.json": {}}, metrics={"why": "no row in common"})
    submitted = Step("submission", 1, "submission")
    dag = Dag((folded, scored, submitted))
    assert written(dag, store, tmp_path / "out") == [
        ("folds", "folds", "by recording"),
        ("nothing to score", "truth.csv", "no row in common"),
    ]


def test_what_is_not_scored_is_said_beside_the_scores() -> None:
    rows = [f"s_{end}" for end in (5, 10, 15, 20)]
    assert not_scored({"ensemble": {"rows_missing": rows, "classes_missing": ()}}, "") == [
        "not scored: 4 rows of the truth: s_5, s_10, s_15 …"
    ]
    assert not_scored({}) == []
