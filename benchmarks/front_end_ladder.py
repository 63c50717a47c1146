"""Front ends, heads, kinds of models, augmentations and labels, all else equal: what each brings.

    python -m benchmarks.front_end_ladder --data DIR --work DIR --seeds 3

Trains the supervised round of recipe `mini` once for each arm below and seed, one fold of four, and
writes a table to `benchmarks/results/front-ends.md`: macro ROC-AUC on the labelled soundscapes and
on held-out clips, paired differences to the arm that it is compared with, and processor seconds of
its training. Arms have as many crops as take about the same processor time. What a person wrote
below it, from "What it says" on, stays. Beside it `front-ends.csv` has each run.
Each data set has a folder in `--work`, with a store of its own. An arm that is there is not run
again, so a ladder that was stopped goes on.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from birdcore.features.columns import stacked
from birdcore.metrics import macro_auc
from birdcore.store.files import write_text

OUT = Path(__file__).with_name("results") / "front-ends.md"
SAYS = "\n## What it says"
RECIPE = """
base = "mini"
drop_rounds = ["student"]
[folds]
count = 4
train = [0]
[train]
repeat = 5
[export]
onnx = false
[ensemble]
members = ["supervised"]
"""
WITHOUT_POWER = (
    "train.sumix.probability=0",
    "train.background.probability=0",
    'train.normalise="zscore"',
)
"""What pcen does without, since nothing is mixed in its power."""


WELL_RATED = """
[[round]]
name = "well-rated"
init_from = "supervised"
min_rating = 4.0
epochs = 5
learning_rate = 1e-3
"""
"""The second of two stages: of the clips, 93 of 148 and 40 of 75 are rated so."""


class Arm(NamedTuple):
    """What differs from mel with resnet10t, and which arm it is compared with."""

    settings: tuple[str, ...] = ()
    against: str = "mel"
    rounds: str = ""
    """More rounds, as TOML."""
    round: str = "supervised"
    """The round whose model is scored."""


ARMS = {
    "mel": Arm(),
    "cwt": Arm(('mel.features=["cwt"]',)),
    "superlet": Arm(('mel.features=["superlet"]',)),
    "mel and cwt": Arm(('mel.features=["mel","cwt"]',)),
    "mel, nothing mixed": Arm(WITHOUT_POWER),
    "pcen": Arm((*WITHOUT_POWER, 'mel.features=["pcen"]'), "mel, nothing mixed"),
    "entmax": Arm(('train.head="entmax"',)),
    "gem": Arm(('train.head="gem"',)),
    "conv_gru": Arm(
        ('train.backbones=["conv_gru"]', "train.frequency_channel=false", "train.repeat=12")
    ),
    "transformer_1d": Arm(
        ('train.backbones=["transformer_1d"]', "train.frequency_channel=false", "train.repeat=12")
    ),
    "efficientvit_m0": Arm(('train.backbones=["efficientvit_m0"]',)),
    "stft": Arm(('mel.features=["stft"]',)),
    "shift": Arm(("train.shift={probability=0.5,max_s=2.5}",)),
    "band-pass": Arm(("train.band.probability=0.5",)),
    "reverse": Arm(("train.reverse=0.5",)),
    "flip_frequency": Arm(("train.flip_frequency=0.5",)),
    "label_offset": Arm(("train.label_offset=0.02",)),
    "two stages": Arm(
        ("round.supervised.epochs=7", 'ensemble.members=["well-rated"]'),
        rounds=WELL_RATED,
        round="well-rated",
    ),
    "amplitudes seen": Arm(('train.normalise="none"',)),
    "amplitude scaling": Arm(('train.normalise="none"', "train.gain_db=6"), "amplitudes seen"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for data in options.data:
        work = options.work / data.name
        work.mkdir(parents=True, exist_ok=True)
        for seed in range(options.seeds):
            for name in options.only:
                scores = run(data, work, name, seed)
                held_out = held_out_auc(work / "store", seed, name)
                rows.append({"data": data.name, "arm": name, "seed": seed, **scores, **held_out})
                lines = table(pd.DataFrame(rows), options.seeds)
                write_text(options.out, "\n".join(lines) + "\n" + what_it_says(options.out))
                pd.DataFrame(rows).to_csv(options.out.with_suffix(".csv"), index=False)
    print(options.out.read_text())


def run(data: Path, work: Path, name: str, seed: int) -> dict[str, float | None]:
    """Scores of one arm, and processor seconds of the steps that train."""
    slug = name.replace(" ", "-")
    recipe, out = work / f"{slug}.toml", work / f"{slug}-{seed}"
    done = out / "arm.json"
    if done.exists():
        scores: dict[str, float | None] = json.loads(done.read_text())
        return scores
    recipe.write_text(RECIPE + ARMS[name].rounds)
    command = [sys.executable, "-m", "flows.cli", "run", str(recipe), "--data", str(data)]
    command += ["--store", str(work / "store"), "--out", str(out), "--workers", "1"]
    for setting in settings_of(seed, name):
        command += ["--set", setting]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("w") as log:
        for until in ("mel", "folds"):
            spent([*command, "--until", until], log.fileno())
        seconds = spent([*command, "--until", "train"], log.fileno())
        spent(command, log.fileno())
    found = json.loads((out / "scores.json").read_text())[ARMS[name].round]
    scores = {key: found[key] for key in ("macro_auc", "cmap")} | {"processor_s": seconds}
    write_text(done, json.dumps(scores))
    print(data.name, name, seed, scores, file=sys.stderr, flush=True)
    return scores


def settings_of(seed: int, name: str) -> list[str]:
    return [f"seed={seed}", *ARMS[name].settings]


def held_out_auc(store: Path, seed: int, name: str) -> dict[str, float]:
    """Macro ROC-AUC of one arm's model on the clips that it holds out: all, and the well-rated."""
    for run_file in (store / "runs").glob("*.json"):
        ran = json.loads(run_file.read_text())
        if ran["request"]["settings"] == settings_of(seed, name):
            keys = {step: key for step, stage, key in ran["steps"] if stage in ("catalog", "train")}
            (key,) = (key for step, key in keys.items() if f" {ARMS[name].round} " in step)
            held_out = pd.read_parquet(store / "train" / key / "held_out.parquet")
            catalog = store / "catalog" / keys["catalog"] / "recordings.parquet"
            ratings = pd.read_parquet(catalog).set_index("recording")["rating"]
            rated = held_out[held_out["recording"].map(ratings) >= 4.0]
            return {"held_out_auc": auc_of(held_out), "well_rated_auc": auc_of(rated)}
    raise ValueError(f"{store} has no run of arm {name}, seed {seed}")


def auc_of(held_out: pd.DataFrame) -> float:
    targets, scores = (stacked(held_out[name], "float64") for name in ("targets", "probabilities"))
    return macro_auc(targets > 0.5, scores)


def spent(command: list[str], log: int) -> float:
    """Processor seconds of a command and of all processes that it waits for."""
    process = subprocess.Popen(command, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime


def table(runs: pd.DataFrame, seeds: int) -> Iterator[str]:
    """A line for each arm and data set: means over seeds, and paired differences."""
    yield "# Front ends, heads and kinds of models"
    yield ""
    yield f"{date.today()}, {os.cpu_count()} cores, {platform.machine()};"
    names = " ".join(runs["data"].unique())
    yield f"`python -m benchmarks.front_end_ladder --data {names} --work DIR --seeds {seeds}`."
    yield "± is the standard error over seeds; differences are paired by seed."
    for data, of_data in runs.groupby("data", sort=False):
        yield ""
        yield f"## {data}"
        yield ""
        yield (
            "| arm | seeds | macro ROC-AUC | against | difference | held-out clips | difference "
            "| cmAP | processor s |"
        )
        yield "|---|---|---|---|---|---|---|---|---|"
        by_arm = {name: one.set_index("seed") for name, one in of_data.groupby("arm", sort=False)}
        for name, one in by_arm.items():
            against = ARMS[str(name)].against
            base = by_arm.get(against) if name != against else None
            cells = [str(name), str(len(one)), plus_minus(one["macro_auc"])]
            cells += [against if base is not None else "", difference(one, base, "macro_auc")]
            cells += [plus_minus(one["held_out_auc"]), difference(one, base, "held_out_auc")]
            cells += [plus_minus(one["cmap"]), f"{one['processor_s'].mean():.0f}"]
            yield f"| {' | '.join(cells)} |"


def what_it_says(path: Path) -> str:
    """The end of a table that was written before."""
    before = path.read_text() if path.exists() else ""
    return before[before.find(SAYS) :] if SAYS in before else ""


def difference(one: pd.DataFrame, base: pd.DataFrame | None, column: str) -> str:
    return "" if base is None else plus_minus((one[column] - base[column]).dropna(), "+.4f")


def plus_minus(values: pd.Series, form: str = ".4f") -> str:
    error = values.std() / len(values) ** 0.5
    return f"{values.mean():{form}} ± {error:.4f}"


if __name__ == "__main__":
    main()
