"""What verdicts are worth: macro ROC-AUC of a run's probes against how many detections were judged.

    python -m benchmarks.review_curve --data DIR --store STORE --seeds 3

Trains the probes of recipe `small-data` as if nobody had annotated the training soundscapes of DIR,
orders what the probes say of these as `birdflow review` does, answers from their labels, and
trains again on clips, soundscapes and the answers so far. "random" takes detections at random, to
compare the ways of choosing with. Scores are of the test soundscapes, which decide nothing. Writes
`benchmarks/results/review-curve.csv`, a row for each run, and prints a table.

STORE is a store's folder, in which `birdflow run small-data` finds what the teacher has heard.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from birdcore.annotations.annotation import Annotation
from birdcore.config import Round, find_recipe, read_recipe
from birdcore.config.probe import PROBE, ProbeConfig
from birdcore.detection.review_order import Clip, check_order, clip_key, clips_in_order
from birdcore.detection.verdicts import Key
from birdcore.inference.probe_predictions import probe_predictions
from birdcore.inference.teacher_predictions import read_teacher_predictions, segment_probabilities
from birdcore.metrics import macro_auc
from birdcore.models.probe import Probe
from birdcore.sources.annotated import AnnotatedRecordings, annotated_recordings, read_annotated
from birdcore.sources.catalog import read_labels, read_recordings
from birdcore.stages.probe import READS
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from birdcore.training.probe import train_probe
from birdcore.training.probe_set import ProbeFiles, read_probe_set

OUT = Path(__file__).with_name("results") / "review-curve.csv"
ROW_S = 5.0
STEPS = (0, 25, 50, 100, 200, 400)
ANNOTATED = "labelled_soundscapes"
"""The kind of recordings that somebody annotated, in names of steps."""
WAYS = ("uncertain", "rare", "balanced", "random")


@dataclass(frozen=True)
class Run:
    """What a run of `small-data` left in its store.

    Attributes:
        catalog: Its catalogue.
        folds: The fold of each labelled recording, by name.
        hop_s: Seconds from window to window of the teacher.
        heard: Files of the teacher's outputs, by kind of recordings.
        labels: What people said of the training soundscapes.
        classes: Labels, in the order of the outputs.
        truth: The table of the test soundscapes.
    """

    catalog: Artifact
    folds: pd.Series
    hop_s: float
    heard: dict[str, list[Path]]
    labels: AnnotatedRecordings
    classes: tuple[str, ...]
    truth: pd.DataFrame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        settings = [f"seed={seed}", *options.set]
        run = read_run(options.data, options.store, settings)
        (probe_round,) = read_recipe(find_recipe("small-data"), settings).round
        with TemporaryDirectory() as folder:
            for row in curve(run, probe_round, seed, Path(folder)):
                rows.append({"seed": seed} | row._asdict())
                print(rows[-1], file=sys.stderr, flush=True)
                pd.DataFrame(rows).to_csv(options.out, index=False)
    table = pd.DataFrame(rows).pivot_table(
        index="judged", columns="way", values="macro_auc", aggfunc=["mean", "sem"]
    )
    print(table.round(4).to_string())


def read_run(data: Path, store: Path, settings: Sequence[str]) -> Run:
    """Run the recipe until the teacher has heard all and folds are there, and find what it made."""
    command = [sys.executable, "-m", "flows.cli", "run", "small-data", "--data", str(data)]
    command += ["--store", str(store), "--until", "probe"]
    with TemporaryDirectory() as out:
        for setting in settings:
            command += ["--set", setting]
        subprocess.run([*command, "--out", f"{out}/run"], check=True, stdout=subprocess.DEVNULL)
    newest = max((store / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime)
    made: dict[str, list[tuple[str, Artifact]]] = {}
    for name, stage, key in json.loads(newest.read_text())["steps"]:
        artifact = Store(store, make=False).find(Ref(stage, key))
        if artifact is not None:
            made.setdefault(stage, []).append((name, artifact))
    heard: dict[str, list[Path]] = {}
    for name, artifact in made["external_teacher"]:  # external_teacher birdnet KIND/NUMBER
        kind = name.split()[-1].partition("/")[0]
        heard.setdefault(kind, []).append(artifact / "heard.parquet")
    ((_, catalog),), ((_, folds),) = made["catalog"], made["folds"]
    labels = read_annotated(catalog)
    assert labels is not None, f"{data} has no annotated soundscapes"
    of_folds = pd.read_parquet(folds / "folds.parquet").set_index("recording")["fold"]
    truth = pd.read_csv(data / "test_soundscapes_labels.csv").set_index("row_id")
    hop_s = made["external_teacher"][0][1].manifest.config["hop_s"]
    return Run(catalog, of_folds, hop_s, heard, labels, read_labels(catalog), truth)


class Point(NamedTuple):
    """Of a curve: how it was chosen, how many detections were judged, macro ROC-AUC on the test
    soundscapes, and on the windows of annotated recordings that each probe holds out."""

    way: str
    judged: int
    macro_auc: float
    held_out_auc: float


def curve(run: Run, probe_round: Round, seed: int, folder: Path) -> Iterator[Point]:
    """What the probes score after so many answers, by each way of choosing."""
    first = train(run, probe_round, seed, [], folder)
    detections, truth = said_of_annotated(run, first)
    nothing = test_auc(run, first), held_out_auc(run, first, truth)
    for way in WAYS:
        yield Point(way, 0, *nothing)
        order = in_order(detections, way, seed)
        for judged in STEPS[1:]:
            answers = [(clip, truth[clip.key]) for clip in order[:judged]]
            probes = train(run, probe_round, seed, answers, folder)
            aucs = test_auc(run, probes), held_out_auc(run, probes, truth)
            yield Point(way, len(answers), *aucs)


def in_order(detections: pd.DataFrame, way: str, seed: int) -> list[Clip]:
    if way != "random":
        return clips_in_order(detections, check_order(way), len(detections), seed)
    clips = clips_in_order(detections, "rare", len(detections), seed)
    return [clips[at] for at in np.random.default_rng(seed).permutation(len(clips))]


def train(
    run: Run, probe_round: Round, seed: int, answers: Sequence[tuple[Clip, bool]], folder: Path
) -> list[Probe]:
    """A probe for each fold, of clips, soundscapes and answers; a recording that nobody has judged
    is one of the soundscapes."""
    annotations = [
        Annotation(clip.file, clip.start_s, clip.end_s, None, None, clip.code, kind, "review")
        for clip, right in answers
        for kind in ("present" if right else "absent",)
    ]
    judged = sorted({annotation.recording for annotation in annotations})
    annotated, others = folder / "annotated.parquet", folder / "others.parquet"
    table = pa.concat_tables([pq.read_table(path) for path in run.heard[ANNOTATED]])
    is_judged = pc.is_in(table["recording"], pa.array(judged, pa.string()))
    pq.write_table(table.filter(is_judged), annotated)
    pq.write_table(table.filter(pc.invert(is_judged)), others)
    labels = annotated_recordings(annotations, [], [(name, name) for name in judged])
    files = ProbeFiles(
        classes=run.classes,
        species=run.catalog / "species.parquet",
        recordings=read_recordings(run.catalog),
        folds=run.folds,
        clips=run.heard["train_audio"],
        annotated=[annotated] if judged else [],
        soundscapes=[*run.heard["train_soundscapes"], others],
        annotations=labels if judged else None,
    )
    settings = probe_round.model_dump(include=READS)
    probes = []
    for fold in range(int(run.folds.max()) + 1):
        own = {"fold": fold, "seed": seed, "hop_s": run.hop_s, "backbone": PROBE}
        config = ProbeConfig.model_validate(settings | own)
        probes.append(
            train_probe(read_probe_set(files, config), run.classes, config, no_progress).probe
        )
    return probes


def said(run: Run, probes: Sequence[Probe], kind: str) -> pd.DataFrame:
    """Probabilities of all rows of 5 s of the recordings of a kind: recording, start_s, classes."""
    files = run.heard[kind]
    columns = (pq.read_table(path, columns=["recording"])["recording"] for path in files)
    names = [name for column in columns for name in column.unique().to_pylist()]
    heard = read_teacher_predictions(files, run.catalog / "species.parquet", names)
    predictions = probe_predictions(probes, heard)
    outputs = predictions.outputs
    tables = []
    for row, name in enumerate(names):
        last = outputs.starts[outputs.first[row] + outputs.count[row] - 1].item()
        starts = np.arange(0.0, last + outputs.info.window_s, ROW_S)
        values = segment_probabilities(predictions, row, starts, ROW_S)
        tables.append(pd.DataFrame(values, columns=list(run.classes)))
        tables[-1].insert(0, "recording", name)
        tables[-1].insert(1, "start_s", starts)
    return pd.concat(tables, ignore_index=True)


def said_of_annotated(run: Run, probes: Sequence[Probe]) -> tuple[pd.DataFrame, dict[Key, bool]]:
    """Detections as `birdflow detect` has them, of all confidences, and which are right: those of
    windows whose labels are known."""
    rows = said(run, probes, ANNOTATED).melt(["recording", "start_s"], var_name="class")
    rows = rows.rename(columns={"recording": "file", "value": "confidence"})
    rows["end_s"] = rows["start_s"] + ROW_S
    complete = run.labels.complete.rename(columns={"recording": "file"})
    within = rows.merge(complete, on="file", suffixes=("", "_known"))
    within = within[
        (within["start_s"] >= within["start_s_known"]) & (within["end_s"] <= within["end_s_known"])
    ]
    within = within.assign(scientific_name="", common_name="").astype({"class": "category"})
    present = run.labels.annotations.query("kind == 'present'")
    heard = {
        (recording, label, start)
        for recording, label, begin, end in zip(
            *(present[name] for name in ("recording", "label", "start_s", "end_s")), strict=True
        )
        for start in np.arange(begin // ROW_S * ROW_S, end, ROW_S)
    }
    truth = {
        clip_key(file, code, start, end): (file, code, start) in heard
        for file, code, start, end in zip(
            *(within[name] for name in ("file", "class", "start_s", "end_s")), strict=True
        )
    }
    return within.reset_index(drop=True), truth


def held_out_auc(run: Run, probes: Sequence[Probe], truth: dict[Key, bool]) -> float:
    """Of the annotated recordings, each by the probe of the fold that it is held out from."""
    by_fold = []
    for fold, probe in enumerate(probes):
        rows, _ = said_of_annotated(run, [probe])
        by_fold.append(rows[rows["file"].map(run.folds) == fold])
    rows = pd.concat(by_fold)
    keys = zip(*(rows[name] for name in ("file", "class", "start_s", "end_s")), strict=True)
    rows["truth"] = [truth[clip_key(*key)] for key in keys]
    table = rows.pivot_table(
        index=["file", "start_s"], columns="class", values=["truth", "confidence"], observed=True
    )
    return macro_auc(table["truth"].to_numpy() > 0, table["confidence"].to_numpy())


def test_auc(run: Run, probes: Sequence[Probe]) -> float:
    rows, truth = said(run, probes, "test_soundscapes"), run.truth
    ends = (rows["start_s"] + ROW_S).astype(int).astype(str)
    rows.index = rows["recording"].map(lambda name: Path(name).stem) + "_" + ends
    classes = list(run.classes)
    return macro_auc(truth[classes].to_numpy() > 0, rows.loc[truth.index, classes].to_numpy())


if __name__ == "__main__":
    main()
