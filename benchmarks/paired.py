"""Whether one set of submissions is better than another: a paired bootstrap over soundscapes.

    python -m benchmarks.paired TRUTH.csv --ours A.csv ... --theirs B.csv ...

Both are scored by macro ROC-AUC on the same draws of soundscapes, so what makes a draw hard is hard
for both. Of several submissions, one for each seed, the mean score of each draw counts.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdcore.metrics import macro_auc
from birdcore.metrics.files import match_scorable
from birdcore.metrics.resampling import (
    draw_groups,
    interval,
    mean_over_classes,
    resampled_ranking,
)

ROUNDS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--ours", type=Path, nargs="+", required=True)
    parser.add_argument("--theirs", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    ours, theirs = (scores(paths, options.truth) for paths in (options.ours, options.theirs))
    gain = ours[1:] - theirs[1:]
    low, high = interval(gain)
    print(f"ours {ours[0]:.4f}, theirs {theirs[0]:.4f}, difference {ours[0] - theirs[0]:+.4f}")
    print(f"standard error {np.nanstd(gain):.4f}, 95 % {low:+.4f} to {high:+.4f}")


def scores(paths: list[Path], truth: Path) -> NDArray[np.float64]:
    """The score (1 + ROUNDS,) of all soundscapes and of each draw of them, mean over files."""
    of_files = []
    for path in paths:
        both = match_scorable(path, truth)
        draws = draw_groups(both.recordings, generator=np.random.default_rng(0), rounds=ROUNDS)
        auc, _ = resampled_ranking(both.truth, both.scores, draws)
        whole = macro_auc(both.truth, both.scores)
        of_files.append(np.concatenate([[whole], mean_over_classes(auc)]))
    return np.asarray(np.mean(of_files, axis=0), np.float64)


if __name__ == "__main__":
    main()
