"""A recipe with several seeds: time and score of each round, and whether rounds help.

    python -m experiments.rounds recipes/mini.toml --data DIR --work DIR --seeds 3

Each seed runs `birdflow run` in a store of its own, so that every time is that of a first run;
other options, such as `--set` and `--collection`, go to it as they are.
Prints a table in Markdown, to be kept in `benchmarks/results/` with date and machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options, others = parser.parse_known_args()
    rows = [
        run(options.recipe, options.data, options.work, seed, others)
        for seed in range(options.seeds)
    ]
    print(table(options.recipe, rows))


def run(recipe: Path, data: Path, work: Path, seed: int, others: list[str]) -> dict[str, float]:
    """Scores by round, and minutes, of one seed."""
    out = work / f"seed-{seed}" / "out"
    command = [sys.executable, "-m", "flows.cli", "run", str(recipe), "--data", str(data)]
    command += ["--store", str(work / f"seed-{seed}" / "store"), "--out", str(out)]
    began = time.monotonic()
    subprocess.run([*command, "--set", f"seed={seed}", *others], check=True)
    minutes = (time.monotonic() - began) / 60
    scores = json.loads((out / "scores.json").read_text())
    found = {name: s["macro_auc"] for name, s in scores.items()}
    print(f"seed {seed}: {found}, {minutes:.1f} min", file=sys.stderr, flush=True)
    return {"seed": seed, **found, "minutes": minutes}


def table(recipe: Path, rows: list[dict[str, float]]) -> str:
    names = [name for name in rows[0] if name not in ("seed", "minutes")]
    lines = [
        f"`{recipe}`, {date.today()}, {os.cpu_count()} cores, {platform.machine()}",
        "",
        f"| seed | {' | '.join(names)} | minutes |",
        f"|---|{'---|' * len(names)}---|",
    ]
    for row in rows:
        cells = " | ".join(f"{row[name]:.4f}" for name in names)
        lines.append(f"| {row['seed']:.0f} | {cells} | {row['minutes']:.1f} |")
    means = " | ".join(f"{np.mean([row[name] for row in rows]):.4f}" for name in names)
    lines.append(f"| mean | {means} | {np.mean([row['minutes'] for row in rows]):.1f} |")
    for name in names[1:]:
        gains = np.array([row[name] - row[names[0]] for row in rows])
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
        lines.append(f"\n{name} minus {names[0]}: {gains.mean():+.4f} (standard error {error:.4f})")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
