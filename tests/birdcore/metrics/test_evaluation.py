"""All scores together, against scikit-learn and against the metrics by themselves."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from birdcore.metrics import (
    best_thresholds,
    bootstrap,
    class_auc,
    class_average_precision,
    cmap,
    evaluate_rows,
    macro_auc,
)

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def table() -> Table:
    rng = np.random.default_rng(3)
    truth = rng.random((240, 7)) < np.array([0.3, 0.1, 0.02, 0.5, 0.2, 0, 0.3])
    scores = (0.4 * truth + rng.random(truth.shape) * 0.7).clip(0, 1)
    return truth, scores, np.repeat([f"recording {at}" for at in range(20)], 12)


def test_rows_are_ranked_and_decided(table: Table) -> None:
    truth, scores, groups = table
    found = evaluate_rows(
        truth, scores, groups, generator=np.random.default_rng(1), rounds=200, thresholds=0.6
    )
    by_name = {one.name: one for one in found.estimates}
    auc = by_name["macro ROC-AUC"]
    assert auc.value == macro_auc(truth, scores)
    interval = bootstrap(truth, scores, groups, generator=np.random.default_rng(1), rounds=200)
    assert (auc.low, auc.high) == interval
    assert (auc.over, by_name["cmAP"].over) == ("6 classes", "6 classes")
    assert by_name["cmAP"].value == cmap(truth, scores)
    occurs = truth.any(axis=0)
    for kind, columns in (("macro", occurs), ("micro", slice(None))):
        expected = precision_recall_fscore_support(
            truth[:, columns], scores[:, columns] >= 0.6, average=kind, zero_division=np.nan
        )
        ours = [by_name[f"{name}, {kind}"].value for name in ("precision", "recall", "F1")]
        np.testing.assert_allclose(ours, expected[:3], atol=1e-12)
    for one in found.estimates:
        assert one.low < one.value < one.high
    assert found.by_class["rows"].tolist() == truth.sum(axis=0).tolist()
    np.testing.assert_array_equal(found.by_class["roc_auc"], class_auc(truth, scores))
    average = class_average_precision(truth, scores)
    np.testing.assert_array_equal(found.by_class["average_precision"], average)
    kept = found.by_class["f1"]
    assert (found.by_class["f1_low"][occurs] <= kept[occurs]).all()
    assert np.isnan(kept[5])


def test_birdset_has_its_three(table: Table) -> None:
    truth, scores, groups = table
    scores = scores.copy()
    scores[:, 5] = 2  # a class that is nowhere in the truth: no rival for the others
    found = evaluate_rows(truth, scores, groups, generator=np.random.default_rng(1), birdset=True)
    precision, auc, top = found.estimates
    assert (precision.name, auc.name, top.name) == ("cmAP", "AUROC", "top-1")
    occurs = truth.any(axis=0)
    called = truth.any(axis=1)
    best = scores[:, occurs].argmax(axis=1)
    right = truth[:, occurs][np.arange(len(truth)), best]
    assert top.value == pytest.approx(right[called].mean())
    assert top.low < top.value < top.high
    assert top.over == f"{called.sum()} rows with a class"


def test_thresholds_of_each_class_are_the_best_there_are(table: Table) -> None:
    truth, scores, groups = table
    rng = np.random.default_rng
    best = evaluate_rows(
        truth, scores, groups, generator=rng(1), thresholds=best_thresholds(truth, scores)
    )
    for limit in np.linspace(0, 1, 21):
        other = evaluate_rows(
            truth, scores, groups, generator=rng(1), rounds=2, thresholds=float(limit)
        )
        occurs = truth.any(axis=0)
        assert (best.by_class["f1"][occurs] >= other.by_class["f1"][occurs]).all()


def test_a_truth_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no class is in any row"):
        evaluate_rows(
            np.zeros((3, 2)), np.zeros((3, 2)), list("abc"), generator=np.random.default_rng(0)
        )
