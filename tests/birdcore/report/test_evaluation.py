import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from birdcore.metrics import class_auc
from birdcore.report.evaluation import judged_on_held_out, judged_on_soundscapes


def test_on_soundscapes_it_is_what_the_score_says(made: Any) -> None:
    truth = made.data / "test_soundscapes_labels.csv"
    names = sorted(f"test_soundscapes/{p.name}" for p in (made.data / "test_soundscapes").iterdir())
    judged = judged_on_soundscapes(made.submission, made.score, truth, names, 5)
    scores = json.loads((made.score / "scores.json").read_text())
    for at, label in enumerate(judged.classes):
        assert judged.auc[at] == pytest.approx(scores["ensemble"]["class_auc"][label])
        assert judged.by["first"][at] == scores["first"]["class_auc"][label]
    np.testing.assert_array_equal(judged.auc, class_auc(judged.truth, judged.probabilities))
    assert list(judged.by) == ["first", "second", "ensemble"]
    given = pd.read_csv(made.submission / "submission.csv", index_col="row_id")
    row = f"{Path(judged.recordings[1]).stem}_{judged.starts[1] + 5:g}"
    assert given.loc[row, list(judged.classes)].tolist() == judged.probabilities[1].tolist()
    assert judged.on == "labelled test soundscapes"


def test_a_soundscape_that_is_not_there_has_no_name(made: Any) -> None:
    truth = made.data / "test_soundscapes_labels.csv"
    judged = judged_on_soundscapes(made.submission, made.score, truth, [], 5)
    assert set(judged.recordings) == {""}


def test_on_held_out_recordings_it_is_the_blend_of_all_members(
    make_report: Callable[..., Any],
) -> None:
    run = make_report(truth=False)
    judged = judged_on_held_out(run.weights, run.rounds)
    assert judged is not None
    tables = {
        name: pd.concat([pd.read_parquet(m / "held_out.parquet") for m in models])
        .set_index("recording")
        .loc[list(judged.recordings)]
        for name, models in run.rounds.items()
    }
    shares = json.loads((run.weights / "weights.json").read_text())["weights"]
    blended = sum(
        shares[f"{name}/resnet10t"] * np.stack(list(table["probabilities"]))
        for name, table in tables.items()
    )
    np.testing.assert_allclose(judged.probabilities, blended, atol=1e-6)
    targets = np.stack(list(tables["first"]["targets"]))
    np.testing.assert_array_equal(judged.truth, targets == 1)
    np.testing.assert_array_equal(judged.auc, class_auc(targets, judged.probabilities))
    own = class_auc(targets, np.stack(list(tables["second"]["probabilities"])))
    np.testing.assert_array_equal(judged.by["second/resnet10t"], own)
    assert (len(judged.recordings), judged.on) == (9, "held-out recordings")
