import numpy as np
import pytest

from birdcore.report.confusion import confused_pairs, confusion, most_confused


def table(seed: int, rows: int = 60, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((rows, classes)) < rng.random(classes) * 0.6
    truth[:, 0] = False  # a class that is never there
    truth[:, 1] = True  # and one that always is
    return truth, rng.random((rows, classes))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_loop_counts(seed: int) -> None:
    truth, p = table(seed)
    found = confusion(truth, p)
    for x in range(truth.shape[1]):
        for y in range(truth.shape[1]):
            rows = truth[:, x] if x == y else truth[:, x] & ~truth[:, y]
            assert found.rows[x, y] == rows.sum()
            if rows.any():
                assert found.mean[x, y] == pytest.approx(p[rows, y].mean())
            else:
                assert np.isnan(found.mean[x, y])
    for y in range(2, truth.shape[1]):
        assert found.elsewhere[y] == pytest.approx(p[~truth[:, y], y].mean())


def test_a_pair_stands_out_and_a_class_that_is_always_high_does_not() -> None:
    truth = np.eye(4, dtype=bool)[np.arange(400) % 4]
    p = np.full((400, 4), 0.1)
    p[:, 2] = 0.9  # whatever sings
    p[truth[:, 3], 1] = 0.6  # where 3 sings
    (worst, *others) = confused_pairs(confusion(truth, p), 100)
    assert (worst.true, worst.taken_for, worst.rows) == (3, 1, 100)
    assert (worst.mean, worst.elsewhere) == pytest.approx((0.6, 0.1 + 0.5 / 3))
    assert not [pair for pair in others if pair.excess > 1e-9]


def test_few_rows_count_less() -> None:
    truth = np.zeros((103, 3), bool)
    truth[:100, 0], truth[100:101, 1] = True, True
    p = np.zeros((103, 3))
    p[:100, 2], p[100, 2] = 0.6, 0.7
    few, many = sorted(confused_pairs(confusion(truth, p), 9), key=lambda pair: pair.rows)
    assert (few.rows, many.rows) == (1, 100)
    assert few.mean > many.mean
    assert many.excess == pytest.approx((0.6 - p[:, 2].mean()) * 100 / 103)


def test_the_worst_pairs_stay_together() -> None:
    truth, p = table(1)
    pairs = confused_pairs(confusion(truth, p), 50)
    assert [pair.excess for pair in pairs] == sorted((q.excess for q in pairs), reverse=True)
    chosen = most_confused(pairs, 4)
    assert len(chosen) == len(set(chosen)) <= 4
    assert chosen[:2] == [pairs[0].true, pairs[0].taken_for]
    assert most_confused([], 4) == []
