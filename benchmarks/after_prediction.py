"""What [after_prediction] and smoothing do to predictions of labelled training soundscapes.

    python -m benchmarks.after_prediction DATA STORE [--set KEY=VALUE] [--tables BOXES ...]

DATA has soundscapes with labels for training (a folder of 2026 or 2021); test recordings are not
read. The recipe's rounds, which are probes, predict the soundscapes that their fold holds out; its
external teacher predicts all of them. Three tables, for docs/lab-notebook.md:

1. Labels over time: how often a species that is heard in a row of 5 s is heard in the next one,
   and in how many rows of a file in which it is heard at all. --tables adds tables of boxes, in any
   form that birdflow reads, of a recording of their name.
2. Each setting against none: macro ROC-AUC over labelled rows, the gain and its standard error, by
   a bootstrap over soundscapes. Rows without a label are smoothed over and not scored.
3. The same for made-up rows, in which species stay as long as one likes and the model's logits are
   spread as they are here: how long species must sing before smoothing helps.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from birdcore.annotations.readers import read_annotations
from birdcore.config import AfterPrediction, Annotations, Predict, read_recipe
from birdcore.inference.after_prediction import after_prediction, operations_for
from birdcore.inference.ensemble import evaluate
from birdcore.inference.probe_predictions import read_probe_predictions
from birdcore.inference.smooth import smooth_recording
from birdcore.inference.teacher_predictions import segment_probabilities
from birdcore.metrics import class_auc
from birdcore.sources.birdclef import scan
from birdcore.sources.birdclef_windows import LABELLED_SOUNDSCAPES, labelled_windows
from birdcore.sources.catalog import read_labels, read_species
from birdcore.sources.source import Source
from birdcore.stages.table import STAGES
from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from flows.dag import Dag, build_dag

ROW_S, ROWS = 5.0, 12
SMOOTHERS = (
    "smooth [.2 .6 .2]", "smooth [.1 .2 .4 .2 .1]", "file_maximum .2", "times_file_maximum 1",
)  # fmt: skip
MADE_UP = ((0.3, 0.15), (0.5, 0.25), (0.7, 0.4), (0.8, 0.5), (0.9, 0.7))
"""How often a species goes on, and in which share of its files' rows it is heard."""
Settings = Mapping[str, tuple[Predict, AfterPrediction]]
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """All rows of F soundscapes, which have `ROWS` each.

    Attributes:
        truth: (F * ROWS, K): 1, 0, or NaN where a row is not labelled.
        scores: (F * ROWS, K), probabilities.
    """

    truth: Table
    scores: Table

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.truth).any(axis=1))

    @property
    def files(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.truth) // ROWS), ROWS)


def settings_of(taxon: str) -> Settings:
    """What is compared, the first with nothing; kernels are those of winners."""

    def after(**said: object) -> tuple[Predict, AfterPrediction]:
        return Predict(), AfterPrediction.model_validate(said)

    def pulled(**said: float) -> tuple[Predict, AfterPrediction]:
        return Predict.model_validate(said), AfterPrediction()

    short, wide = (0.2, 0.6, 0.2), (0.1, 0.2, 0.4, 0.2, 0.1)
    return {
        "none": after(),
        "smooth [.2 .6 .2]": after(smooth={taxon: short}),
        "smooth [.1 .2 .4 .2 .1]": after(smooth={taxon: wide}),
        "delta_shift .5": pulled(delta_shift=0.5),
        "file_maximum .2": pulled(file_maximum=0.2),
        "times_file_maximum .5": after(times_file_maximum=0.5),
        "times_file_maximum 1": after(times_file_maximum=1.0),
        "temperature 2, times_file_maximum 1": after(temperature=2.0, times_file_maximum=1.0),
        "genus_share .15": after(genus_share=0.15),
        "class_share .05": after(class_share=0.05),
        "cap .5, smooth [.2 .6 .2]": after(cap=0.5, smooth={taxon: short}),
        "max_sum .75": after(max_sum=0.75),
    }


def changed(rows: Rows, predict: Predict, after: AfterPrediction, species: pd.DataFrame) -> Table:
    """The scores as a run would have made them with these settings."""
    parts = [
        smooth_recording(part, predict) for part in np.split(rows.scores, len(rows.scores) // ROWS)
    ]
    operations, smoothed = operations_for(after, species), np.concatenate(parts)
    if operations is None:
        return np.asarray(smoothed, np.float64)
    return np.asarray(
        after_prediction(smoothed, rows.files.astype(str).tolist(), operations), np.float64
    )


# --- labels over time ------------------------------------------------------------------------


def persistence(truth: Table, files: NDArray[np.intp]) -> dict[str, float]:
    """How labels (N, K) go on in the rows of files; rows that are not labelled do not count."""
    truth = np.where(np.isnan(truth).any(axis=1, keepdims=True), np.nan, truth)
    found: dict[str, float] = {}
    for step in (1, 2):
        one, other = truth[:-step], truth[step:]
        pairs = (files[:-step] == files[step:])[:, None] & ~np.isnan(one) & ~np.isnan(other)
        stays = other[pairs & (one == 1)]
        found[f"again after {step}"] = float(stays.mean()) if stays.size else np.nan
    by_file = pd.DataFrame(truth).groupby(files)
    heard, share = by_file.max(), by_file.mean()
    found["in a row"] = float(np.nanmean(truth))
    found["in a row of its files"] = float(share.to_numpy()[heard.to_numpy() == 1].mean())
    found["species a file"] = float(heard.sum(axis=1).mean())
    return found


def box_rows(path: Path) -> tuple[Table, NDArray[np.intp]]:
    """Rows of boxes: which labels have a box in them, over all files of a table."""
    found = read_annotations(path, [f"{path.stem}.wav"], Annotations()).annotations
    spans = [(one.recording, one.start_s, one.end_s, one.label) for one in found]
    table = pd.DataFrame(spans, columns=["file", "start", "end", "label"])
    labels, parts, files = sorted(set(table["label"])), [], []
    for number, (_, of_file) in enumerate(table.groupby("file")):
        truth = np.zeros((int(np.ceil(of_file["end"].max() / ROW_S)), len(labels)))
        for _, start, end, label in of_file.itertuples(index=False):
            rows = slice(int(start // ROW_S), int(np.ceil(end / ROW_S)))
            truth[rows, labels.index(label)] = 1
        parts.append(truth)
        files += [number] * len(truth)
    return np.concatenate(parts), np.array(files)


# --- predictions of what was held out -----------------------------------------------------------


def made(dag: Dag, store: Store, wanted: Iterable[Ref]) -> None:
    """Make these artifacts and all that they are made of."""
    steps = {step.ref: step for step in dag.steps}
    needed, left = set(), list(wanted)
    while left:
        ref = left.pop()
        if ref not in needed:
            needed.add(ref)
            left += steps[ref].reads
    for step in dag.steps:
        if step.ref in needed:
            store.make(step, import_module(STAGES[step.stage].module).run)


def held_out_rows(dag: Dag, source: Source, store: Store) -> tuple[dict[str, Rows], pd.DataFrame]:
    """The labelled soundscapes as the teacher hears them, and as the probes do that they are held
    out from; and the catalogue's species."""
    probes = dag.of("probe")
    heard = [step for step in dag.of("external_teacher") if LABELLED_SOUNDSCAPES in step.name]
    made(dag, store, [step.ref for step in (*probes, *heard)])
    (catalog,), (folded,) = dag.of("catalog"), dag.of("folds")
    labels, species = read_labels(store.get(catalog.ref)), read_species(store.get(catalog.ref))
    outputs = [store.get(step.ref) / "heard.parquet" for step in heard]
    fold_of = pd.read_parquet(store.get(folded.ref) / "folds.parquet").set_index("recording")[
        "fold"
    ]
    names = sorted({file.path for file in source.subset("annotated").files})
    truth = {name: np.full((ROWS, len(labels)), np.nan) for name in names}
    for window in labelled_windows(source.root, names).windows:
        row = truth[window.recording][int(window.start_s // ROW_S)]
        row[:] = 0
        row[[labels.index(label) for label in window.labels if label in labels]] = 1
    folders: dict[int, list[Path]] = {}
    for step in probes:
        folders.setdefault(step.config["fold"], []).append(store.get(step.ref).folder)
    held_out = [name for name in names if fold_of[name] in folders]
    table, starts = store.get(catalog.ref) / "species.parquet", np.arange(ROWS) * ROW_S

    def scores(name: str, models: list[Path]) -> Table:
        predictions = read_probe_predictions(models, outputs, table, [name])
        return np.asarray(segment_probabilities(predictions, 0, starts, ROW_S), np.float64)

    teacher = Rows(
        np.concatenate([truth[n] for n in names]), np.concatenate([scores(n, []) for n in names])
    )
    probe = Rows(
        np.concatenate([truth[n] for n in held_out]),
        np.concatenate([scores(n, folders[fold_of[n]]) for n in held_out]),
    )
    return {"external teacher": teacher, "probe": probe}, species


def compared(rows: Rows, species: pd.DataFrame) -> list[str]:
    """A line for each setting."""
    kept = rows.labelled
    truth, files = rows.truth[kept] == 1, pd.factorize(rows.files[kept])[0]
    tables = {
        name: changed(rows, *asked, species)[kept]
        for name, asked in settings_of(species["class_name"].iloc[0]).items()
    }
    evaluations = evaluate(truth, tables, files)
    lines = []
    for name, evaluation in evaluations.items():
        gain = (
            ""
            if evaluation.gain is None
            else f"{evaluation.gain:+.4f} ± {evaluation.standard_error:.4f}"
        )
        lines.append(f"| {name} | {evaluation.auc:.4f} | {gain} |")
    return lines


# --- made-up rows --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How logits of a model are spread, for rows of classes that are not in a soundscape and rows
    of positives; all are classes together, each less its mean.

    Attributes:
        middle: Of the logits of what is absent.
        noise: Their standard deviation.
        lasting: The share of their variance that a soundscape has in all of its rows.
        next_row: Their correlation with the next row.
        distance: From the mean of what is absent to that of positives.
        strength: Standard deviation of positives beyond the noise: some events are faint.
    """

    middle: float
    noise: float
    lasting: float
    next_row: float
    distance: float
    strength: float

    @classmethod
    def of(cls, rows: Rows) -> "Spread":
        shape = (-1, ROWS, rows.truth.shape[1])
        logits = logit(np.clip(rows.scores, 1e-7, 1 - 1e-7)).reshape(shape)
        found = logits - logits.mean(axis=(0, 1))
        heard = np.nan_to_num(rows.truth).reshape(shape) == 1
        absent = found.transpose(0, 2, 1)[~heard.any(axis=1)]  # (n, ROWS)
        return cls(
            middle=float(np.median(logits)),
            noise=float(absent.std()),
            lasting=float(absent.mean(axis=1).var() / absent.var()),
            next_row=float(np.corrcoef(absent[:, :-1].ravel(), absent[:, 1:].ravel())[0, 1]),
            distance=float(found[heard].mean() - absent.mean()),
            strength=float(np.sqrt(max(found[heard].var() - absent.var(), 0))),
        )


def simulated(stay: float, share: float, spread: Spread, seed: int = 0) -> Rows:
    """Rows of 300 soundscapes, in .3 of which each of 30 classes is heard.

    Args:
        stay: How often a class that is heard in a row is heard in the next one; the event goes on
            as loud as it is.
        share: Of the rows of its files in which a class is heard.
        spread: What a model says of them.
    """
    rng, shape = np.random.default_rng(seed), (300, ROWS, 30)
    starts = share * (1 - stay) / (1 - share)  # the chance to begin that keeps the share
    heard, loud = rng.random(shape) < share, rng.standard_normal(shape)
    for row in range(1, ROWS):
        before, draw = heard[:, row - 1], rng.random(shape)[:, 0]
        heard[:, row] = draw < np.where(before, stay, starts)
        loud[:, row] = np.where(before & heard[:, row], loud[:, row - 1], loud[:, row])
    heard &= rng.random((300, 1, 30)) < 0.3
    lasting = np.sqrt(spread.lasting) * rng.standard_normal((300, 1, 30))
    noise = lasting + np.sqrt(1 - spread.lasting) * rng.standard_normal(shape)
    logits = spread.middle + spread.noise * noise
    logits += heard * (spread.distance + spread.strength * loud)
    truth = heard.reshape(-1, 30).astype(float)
    return Rows(truth, expit(logits).reshape(-1, 30))


def gains(rows: Rows, names: Iterable[str]) -> list[float]:
    """What settings gain over none on made-up rows, as differences of macro ROC-AUC."""
    count = rows.truth.shape[1]
    species = pd.DataFrame({"label": [str(k) for k in range(count)]}).assign(
        class_name="Aves", scientific_name="", inat_taxon_id=""
    )
    settings, truth = settings_of("Aves"), rows.truth == 1
    plain = np.nanmean(class_auc(truth, rows.scores))
    return [
        float(np.nanmean(class_auc(truth, changed(rows, *settings[name], species))) - plain)
        for name in names
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--recipe", default="small-data")
    parser.add_argument("--set", action="append", default=[], help="of the recipe, such as seed=1")
    parser.add_argument("--tables", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    store = Store(options.store)
    source = scan(options.data, store)
    dag = build_dag(read_recipe(options.recipe, options.set), source, store, keep_shards=True)
    found, species = held_out_rows(dag, source, store)
    teacher = found["external teacher"]

    over_time = {
        "labelled rows": persistence(teacher.truth, teacher.files),
        "all rows": persistence(np.nan_to_num(teacher.truth), teacher.files),
    }
    over_time |= {path.name: persistence(*box_rows(path)) for path in options.tables}
    print(f"{teacher.labelled.mean():.0%} of rows are labelled")
    print(f"\n| labels | {' | '.join(next(iter(over_time.values())))} |\n|---|" + "---|" * 5)
    for name, figures in over_time.items():
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in figures.values())} |")

    for name, rows in found.items():
        print(f"\n{name}: {rows.files.max() + 1} soundscapes, {rows.labelled.sum()} labelled rows")
        print("| setting | AUC | gain |\n|---|---|---|")
        print("\n".join(compared(rows, species)))

    for name, rows in found.items():
        spread = Spread.of(rows)
        print(f"\n{name}: {spread}\n\n| stays | share | {' | '.join(SMOOTHERS)} |")
        print("|---|---|" + "---|" * len(SMOOTHERS))
        for stay, share in MADE_UP:
            line = gains(simulated(stay, share, spread), SMOOTHERS)
            print(f"| {stay} | {share} | {' | '.join(f'{gain:+.3f}' for gain in line)} |")


if __name__ == "__main__":
    main()
