"""The metrics against scikit-learn, and files people hand in."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from birdcore.metrics import (
    NothingToScore,
    class_auc,
    class_average_precision,
    cmap,
    macro_auc,
    read_submission,
    score_files,
    top1,
)

TABLE = st.tuples(st.integers(1, 30), st.integers(1, 5))


@settings(deadline=None)
@given(shape=TABLE, data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_class_auc_equals_sklearn(
    shape: tuple[int, int], data: st.DataObject, dtype: type[np.float32]
) -> None:
    truth = data.draw(arrays(np.int64, shape, elements=st.integers(0, 1)))
    scores = data.draw(arrays(np.int64, shape, elements=st.integers(-4, 4))).astype(dtype) / 3
    ours = class_auc(truth, scores)
    for hits, column, auc in zip(truth.T, scores.T, ours, strict=True):
        if hits.min() == hits.max():
            assert np.isnan(auc)
        else:
            assert auc == pytest.approx(roc_auc_score(hits, column), abs=1e-9)


def test_many_rows_and_classes_equal_sklearn(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(3000, 21)).round(2)
    truth = rng.random(scores.shape) < 0.1
    reference = roc_auc_score(truth, scores, average=None)
    np.testing.assert_allclose(class_auc(truth, scores), reference, atol=1e-9, rtol=0)
    precisions = average_precision_score(truth, scores, average=None)
    assert cmap(truth, scores) == pytest.approx(precisions.mean(), abs=1e-9)


def test_macro_auc_skips_classes_that_never_or_always_occur() -> None:
    truth = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1]])
    scores = np.array([[0.1, 0.9, 0.5], [0.5, 0.2, 0.1], [0.9, 0.4, 0.2]])
    assert macro_auc(truth, scores) == 0.5
    with pytest.raises(ValueError, match="no class can be scored"):
        macro_auc(truth[:, 1:], scores[:, 1:])


def test_cmap_equals_sklearn(rng: np.random.Generator) -> None:
    scores = rng.random((60, 7)).round(1)  # ones and ties among them
    truth = rng.random(scores.shape) < 0.2
    truth[:, 3] = False
    scored = truth.any(axis=0)
    reference = average_precision_score(truth[:, scored], scores[:, scored], average="macro")
    assert cmap(truth, scores) == pytest.approx(reference, abs=1e-9)


RANKS = st.tuples(
    arrays(np.bool_, (20, 3), elements=st.booleans()),
    arrays(np.int64, (20, 3), elements=st.integers(-3, 3)),
)


@settings(deadline=None)
@given(table=RANKS, seed=st.integers(0, 99))
def test_metrics_are_of_ranks_alone_and_of_no_order(
    table: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    truth, scores = table
    generator = np.random.default_rng(seed)
    rows, classes = generator.permutation(20), generator.permutation(3)
    for metric in (class_auc, class_average_precision):
        ours = metric(truth, scores)
        np.testing.assert_allclose(metric(truth, np.exp(scores / 2) - 7), ours, atol=1e-12)
        moved = metric(truth[rows][:, classes], scores[rows][:, classes])
        np.testing.assert_allclose(moved, ours[classes], atol=1e-12)
    ours = top1(truth, scores)
    np.testing.assert_allclose(top1(truth, np.exp(scores / 2) - 7), ours)
    np.testing.assert_allclose(top1(truth[rows][:, classes], scores[rows][:, classes]), ours[rows])


def test_top1_counts_rows_with_a_class_and_shares_ties() -> None:
    truth = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]])
    scores = np.array([[0.9, 0.1, 0], [0.9, 0, 0], [0.5, 0.5, 0], [0.1, 0.2, 0.15]])
    np.testing.assert_array_equal(top1(truth, scores), [1, np.nan, 0.5, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    truth, scores = np.eye(3), np.zeros((3, 3))
    scores[2, 1] = bad
    for metric in (class_auc, macro_auc, cmap):
        with pytest.raises(ValueError, match=r"1 scores .* row 2, class 1"):
            metric(truth, scores)


def test_soft_truth_and_unlike_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="0 and 1 only"):
        macro_auc(np.full((2, 2), 0.5), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\(2, 3\) and scores \(3, 2\)"):
        macro_auc(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="tables"):
        macro_auc(np.zeros(3), np.zeros(3))


def test_read_submission_takes_what_editors_write(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_bytes('\ufeffa,row_id,b\r\n1e-3,"x_5",0.25\r\n\r\n 1 ,x_10,-2\r\n'.encode())
    table = read_submission(path)
    assert table.row_ids == ("x_5", "x_10")
    assert table.labels == ("a", "b")
    np.testing.assert_array_equal(table.scores, [[0.001, 0.25], [1, -2]])
    assert table.scores.dtype == np.float64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "csv: empty"),
        (b"\n\n", "csv: empty"),
        (b"row_id,a\n", "a header and no rows"),
        (b"id,a\nx_5,1\n", "line 1: no column row_id among id, a"),
        (b"row_id;a\nx_5;1\n", "line 1: no column row_id among row_id;a"),
        (b"row_id\nx_5\n", "line 1: no class columns"),
        (b"row_id,a,b,a\nx_5,1,1,1\n", "line 1: columns given twice: a"),
        (b"row_id,a\nx_5,1\nx_10,1\nx_5,0\n", "line 4, column row_id: 'x_5' is already on line 2"),
        (b"row_id,a\n,1\n", "line 2, column row_id: empty"),
        (b"row_id,a,b\nx_5,1,0\nx_10,1,high\n", "line 3, column b: not a finite number"),
        (b"row_id,a,b\nx_5,,0\n", "line 2, column a: not a finite number"),
        (b"a,row_id,b\n1,x_5,1\n\n1,x_10,NaN\n", "line 4, column b: not a finite number"),
        (b"row_id,a\nx_5,-inf\n", "line 2, column a: not a finite number"),
        (b"row_id,a\nx_5,1,0\n", "line 2: 3 cells, the header has 2"),
        (b"row_id,a\nx_5\n", "line 2: 1 cells, the header has 2"),
        (b"row_id,a\nx_5,1\nm\xf6we_5,1\n", "line 3: not UTF-8"),
        ("row_id,a\nx_5,1\n".encode("utf-16"), "line 1: not UTF-8"),
        (b'row_id,a\n"x_5,1\n', "line 2: unexpected end of data"),
        (b"row_id,a\nx_5,1\ny\0_5,1\n", "line 3: a NUL byte"),
        pytest.param(b'row_id,a,"b\n' + b"x_5,1,0\n" * 20_000, "field larger", id="long header"),
        pytest.param(b'row_id,a\n"x_5,1\n' + b"x_10,0\n" * 20_000, "field larger", id="long cell"),
    ],
)
def test_read_submission_says_what_is_wrong_and_where(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "submission.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"submission\.csv") as caught:
        read_submission(path)
    assert message in str(caught.value)


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_score_files_matches_rows_and_columns_by_name(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.csv", "row_id,a,b,c", "x_5,1,0,0", "x_10,0,0,1", "y_5,0,0,1")
    given = write(
        tmp_path / "given.csv",
        "row_id,c,other,b,a",
        "y_5,.9,1,0,.5",
        "z_5,0,0,0,0",
        "x_5,.2,1,0,.4",
        "x_10,.1,1,0,.3",
    )
    scores = score_files(given, truth, generator=np.random.default_rng(0), rounds=50)
    assert scores.class_auc == {"a": 0.5, "c": 0.5}
    assert (scores.macro_auc, scores.classes_scored, scores.rows) == (0.5, 2, 3)
    assert scores.cmap == pytest.approx((1 / 2 + (1 + 2 / 3) / 2) / 2)
    assert scores.macro_auc_low <= 0.5 <= scores.macro_auc_high


def test_score_files_leaves_out_what_was_not_given_and_names_it(tmp_path: Path) -> None:
    rows = [f"x_{5 * i},{i % 2},{i // 2 % 2}" for i in range(1, 9)]
    truth = write(tmp_path / "truth.csv", "row_id,a,b", *rows)
    few = write(tmp_path / "few.csv", "row_id,a,b", *rows[:5])
    scores = score_files(few, truth, generator=np.random.default_rng(0))
    assert scores.rows_missing == ("x_30", "x_35", "x_40")
    assert (scores.rows, scores.classes_missing, scores.macro_auc) == (5, (), 1.0)
    narrow = write(tmp_path / "narrow.csv", "row_id,a", *(row[:-2] for row in rows))
    scores = score_files(narrow, truth, generator=np.random.default_rng(0))
    assert (scores.rows, scores.rows_missing, scores.classes_missing) == (8, (), ("b",))
    assert scores.class_auc == {"a": 1.0}


def test_score_files_matches_names_in_either_form(tmp_path: Path) -> None:
    rows = ["Bärenklau_5,1", "Bärenklau_10,0"]
    truth = write(tmp_path / "truth.csv", "row_id,é", *rows)
    given = tmp_path / "given.csv"
    given.write_text(unicodedata.normalize("NFD", truth.read_text()))
    assert score_files(given, truth, generator=np.random.default_rng(0)).macro_auc == 1


def test_score_files_refuses_what_does_not_fit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [f"x_{5 * i},{i % 2},0" for i in range(1, 9)]
    truth = write(tmp_path / "truth.csv", "row_id,a,b", *rows)
    other = write(tmp_path / "other.csv", "row_id,a,b", "y_5,0,1")
    with pytest.raises(NothingToScore, match=r"other\.csv has none of the 8 rows and 2 classes"):
        score_files(other, truth, generator=generator)
    silent = write(tmp_path / "silent.csv", "row_id,a,b", *(f"x_{5 * i},0,0" for i in range(1, 4)))
    with pytest.raises(NothingToScore, match=r"silent\.csv: no class has both"):
        score_files(truth, silent, generator=generator)
    soft = write(tmp_path / "soft.csv", "row_id,a,b", *rows[:7], "x_40,0,0.5")
    with pytest.raises(ValueError, match=r"soft\.csv, row x_40, column b: 0\.5 is neither"):
        score_files(truth, soft, generator=generator)


def test_many_columns_are_read_in_linear_time(tmp_path: Path) -> None:
    labels = [f"c{at}" for at in range(100_000)]
    path = write(tmp_path / "wide.csv", ",".join(["row_id", *labels]), "x_5" + ",0" * 100_000)
    assert read_submission(path).labels == tuple(labels)


def test_a_constant_submission_scores_a_half_on_real_files(shared_data: Path) -> None:
    folder = shared_data / "birdclef-mini"
    scores = score_files(
        folder / "sample_submission.csv",
        folder / "test_soundscapes_labels.csv",
        generator=np.random.default_rng(0),
        rounds=20,
    )
    assert (scores.rows, scores.classes_scored) == (288, 26)
    assert (scores.macro_auc, scores.macro_auc_low, scores.macro_auc_high) == (0.5, 0.5, 0.5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
