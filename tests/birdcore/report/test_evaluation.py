import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from birdcore.metrics import class_auc
from birdcore.report.evaluation import evaluate_on_held_out, evaluate_on_soundscapes


def test_on_soundscapes_it_is_what_the_score_says(made: Any) -> None:
    truth = made.data / "test_soundscapes_labels.csv"
    names = sorted(f"test_soundscapes/{p.name}" for p in (made.data / "test_soundscapes").iterdir())
    evaluation = evaluate_on_soundscapes(made.submission, made.score, truth, names, 5)
    scores = json.loads((made.score / "scores.json").read_text())
    for at, label in enumerate(evaluation.classes):
        assert evaluation.auc[at] == pytest.approx(scores["ensemble"]["class_auc"][label])
        assert evaluation.class_auc_by["first"][at] == scores["first"]["class_auc"][label]
    expected = class_auc(evaluation.truth, evaluation.probabilities)
    np.testing.assert_array_equal(evaluation.auc, expected)
    assert list(evaluation.class_auc_by) == ["first", "second", "ensemble"]
    given = pd.read_csv(made.submission / "submission.csv", index_col="row_id")
    row = f"{Path(evaluation.recordings[1]).stem}_{evaluation.starts_s[1] + 5:g}"
    assert given.loc[row, list(evaluation.classes)].tolist() == evaluation.probabilities[1].tolist()
    assert evaluation.on == "labelled test soundscapes"


def test_a_soundscape_that_is_not_there_has_no_name(made: Any) -> None:
    truth = made.data / "test_soundscapes_labels.csv"
    evaluation = evaluate_on_soundscapes(made.submission, made.score, truth, [], 5)
    assert set(evaluation.recordings) == {""}


def test_on_held_out_recordings_it_is_the_blend_of_all_members(
    make_report: Callable[..., Any],
) -> None:
    run = make_report(truth=False)
    evaluation = evaluate_on_held_out(run.weights, run.rounds)
    assert evaluation is not None
    tables = {
        name: pd.concat([pd.read_parquet(m / "held_out.parquet") for m in models])
        .set_index("recording")
        .loc[list(evaluation.recordings)]
        for name, models in run.rounds.items()
    }
    shares = json.loads((run.weights / "weights.json").read_text())["weights"]
    blended = sum(
        shares[f"{name}/test_resnet"] * np.stack(list(table["probabilities"]))
        for name, table in tables.items()
    )
    np.testing.assert_allclose(evaluation.probabilities, blended, atol=1e-6)
    targets = np.stack(list(tables["first"]["targets"]))
    np.testing.assert_array_equal(evaluation.truth, targets == 1)
    np.testing.assert_array_equal(evaluation.auc, class_auc(targets, evaluation.probabilities))
    own = class_auc(targets, np.stack(list(tables["second"]["probabilities"])))
    np.testing.assert_array_equal(evaluation.class_auc_by["second/test_resnet"], own)
    assert (len(evaluation.recordings), evaluation.on) == (9, "held-out recordings")
