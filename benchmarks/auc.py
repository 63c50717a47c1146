"""Per-class ROC-AUC and average precision: ours against scikit-learn, and a bootstrap.

OMP_NUM_THREADS=1 python -m benchmarks.auc [--rows 20000] [--classes 206]
"""

import argparse
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from birdcore.metrics import bootstrap, class_auc, cmap

Result = TypeVar("Result")


def timed(name: str, work: Callable[[], Result]) -> Result:
    """Run `work`, print how long it took."""
    start = perf_counter()
    result = work()
    print(f"{name:<44}{perf_counter() - start:8.3f} s")
    return result


def main() -> None:
    """Print the times and the largest difference from scikit-learn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=206)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    scores = generator.random((options.rows, options.classes)).round(4)
    truth = generator.random(scores.shape) < 0.3 * scores**2
    print(f"{options.rows} rows, {options.classes} classes, {truth.mean():.1%} positive, ties")
    ours = timed("class_auc", lambda: class_auc(truth, scores))
    timed("class_auc, float32", lambda: class_auc(truth, scores.astype(np.float32)))
    theirs = timed("sklearn roc_auc_score", lambda: roc_auc_score(truth, scores, average=None))
    precision = timed("cmap", lambda: cmap(truth, scores))
    reference = timed("sklearn average precision", lambda: average_precision_score(truth, scores))
    print(f"largest difference {np.abs(ours - theirs).max():.1e}, {abs(precision - reference):.1e}")
    for rows in (12, 288):
        part, groups = slice(24 * rows), np.arange(24 * rows) // rows
        resample = partial(bootstrap, truth[part, :26], scores[part, :26], groups)
        timed(
            f"bootstrap 24 groups of {rows} rows, 1000 times",
            partial(resample, generator=generator),
        )


if __name__ == "__main__":
    main()
