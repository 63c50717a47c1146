"""What a run's models say of recordings that nobody has labelled, from what its store holds.

A run has predicted them already: as labels for a student, as outputs of the teacher that its probes
read, or as rows of its submission. So nothing is heard again. Soundscapes of a test whose truth is
there are left out: who trains on verdicts of them can't be tested on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from birdcore.audio.channels import file_of
from birdcore.detection.from_probabilities import detections_of
from birdcore.detection.species_list import read_classes
from birdcore.features.columns import stacked
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.catalog import read_labels
from birdcore.sources.plain_folder import SUBSETS
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.run_records import Run
from birdcore.store.runs import runs
from birdcore.store.store import Store
from birdcore.unicode_names import find_by_name

LEAST = 0.1
"""Less probable cells are not listened to: most of a table has nothing in it."""
UNLABELLED = {SUBSETS["unlabelled"], *(layout.soundscapes for layout in LAYOUTS)}
"""What shards of recordings that nobody has labelled are called."""
MODEL = "model"


@dataclass(frozen=True)
class Predicted:
    """What a run says.

    Attributes:
        detections: As `birdcore.detection.read.read_detections` gives them.
        root: Where the recordings are.
        source: Which of its predictions they are, for people.
    """

    detections: pd.DataFrame
    root: Path
    source: str


@dataclass(frozen=True)
class _Cells:
    """Probabilities (S, K) of segments, and the classes' names."""

    recordings: Sequence[str]
    start_s: Sequence[float]
    end_s: Sequence[float]
    probabilities: np.ndarray
    classes: Sequence[str]
    source: str


def run_of(store: Store, out: Path) -> Run:
    """The latest run whose results lie in a folder; raises ValueError where there is none."""
    for run in runs(store):
        if run.steps and Path(run.request.out).resolve() == out.resolve():
            return run
    raise ValueError(
        f"no run in the store {store.location} has written {out}: name its store with --store"
    )


def kind_of(step: str) -> str:
    """What the recordings of a step of a shard are called: the subset's name."""
    return step.split(" ")[-1].partition("/")[0]


def predicted(store: Store, out: Path, least: float = 0.0) -> Predicted:
    """What a run's models say of recordings without labels.

    Args:
        store: The run's.
        out: Its results folder.
        least: The least probability, if more than `LEAST`.

    Raises:
        ValueError: The store has no run of this folder, or none of its predictions.
    """
    run = run_of(store, out)
    found = _labels(store, run) or _probes(store, run) or _unscored(store, run)
    if found is None:
        raise ValueError(_how_to_detect(run, out))
    species = read_classes(out / MODEL, found.classes)
    least = max(least, LEAST)
    table = detections_of(
        found.recordings, found.start_s, found.end_s, found.probabilities, species, least
    )
    if not len(table):
        raise ValueError(f"{out}: no class is as probable as {least:g} in any {found.source}")
    root = Path(run.request.data)
    places = {name: find_by_name(root, name) for name in table["file"].cat.categories}
    paths = {name: path.relative_to(root).as_posix() for name, path in places.items()}
    table["file"] = table["file"].cat.rename_categories(paths)
    return Predicted(table, root, found.source)


def _labels(store: Store, run: Run) -> _Cells | None:
    """Labels of soundscapes for the last student: what its teachers said, before any power."""
    from birdcore.pseudo_labels.labels import read_teacher_said

    of_round: dict[str, list[Artifact]] = {}
    for name, artifact in _made(store, run, "label"):
        student, soundscapes, _ = name.removeprefix("label for ").rpartition(" soundscapes ")
        if soundscapes:
            of_round.setdefault(student, []).append(artifact)
    if not of_round:
        return None
    student, artifacts = list(of_round.items())[-1]
    read = [read_teacher_said(artifact / "labels.parquet") for artifact in artifacts]
    tables, classes = zip(*read, strict=True)
    rows = pd.concat(tables, ignore_index=True)
    if not len(rows):
        return None
    # A teacher of each fold labels them all: the mean of the teachers.
    of_segment = rows.groupby(["recording", "start", "end"], sort=True)
    table = stacked(rows["probabilities"], np.float64)
    sums = np.zeros((of_segment.ngroups, table.shape[1]))
    np.add.at(sums, of_segment.ngroup().to_numpy(), table)
    mean = sums / of_segment.size().to_numpy()[:, None]
    names, starts, ends = (list(each) for each in zip(*of_segment.groups, strict=True))
    said = f"soundscapes, as labelled for {student}"
    return _Cells([file_of(name) for name in names], starts, ends, mean, classes[0], said)


def _probes(store: Store, run: Run) -> _Cells | None:
    """The mean of all probes of the last round, on the outputs of their teacher."""
    from birdcore.inference.probe_predictions import read_probe_predictions
    from birdcore.teachers.teacher_use import TeacherUse

    rounds: dict[str, list[Path]] = {}
    for name, artifact in _made(store, run, "probe"):
        rounds.setdefault(name.rpartition(" fold ")[0], []).append(artifact.folder)
    catalog = next((artifact for _, artifact in _made(store, run, "catalog")), None)
    if not rounds or catalog is None:
        return None
    named, folders = list(rounds.items())[-1]
    teacher = TeacherUse.read(folders[0])
    heard = [
        artifact / "heard.parquet"
        for name, artifact in _made(store, run, "external_teacher")
        if kind_of(name) in UNLABELLED
        and artifact.manifest.config["teacher"] == teacher.teacher
        and artifact.manifest.config["model"] == teacher.model
    ]
    if not heard:
        return None
    names = sorted(set[str]().union(*(_recordings(file) for file in heard)))
    if not names:
        return None
    predictions = read_probe_predictions(folders, heard, catalog / "species.parquet", names)
    outputs = predictions.outputs
    recordings = np.repeat(np.array(names, object), outputs.count.numpy())
    starts = outputs.starts.numpy()
    return _Cells(
        list(recordings),
        list(starts),
        list(starts + outputs.info.window_s),
        outputs.probabilities.float().numpy(),
        read_labels(catalog),
        f"unlabelled recordings, by {named}",
    )


def _unscored(store: Store, run: Run) -> _Cells | None:
    """The submission's rows, where nothing says what is true in them."""
    from birdcore.inference.submission import scored_file

    submitted = next((artifact for _, artifact in _made(store, run, "submission")), None)
    if submitted is None or any(stage == "score" for _, stage, _ in run.steps):
        return None
    named = submitted.manifest.config.get("names", {})
    files, segment_s = set[str](), 5.0
    for _, artifact in _made(store, run, "predict"):
        files |= {file_of(name) for name in _recordings(artifact / "predictions.parquet")}
        segment_s = float(artifact.manifest.config.get("segment_s", segment_s))
    by_row = {named.get(file, PurePosixPath(file).stem): file for file in files}
    table = pd.read_csv(scored_file(submitted.folder), index_col="row_id")
    parts = [str(row).rpartition("_") for row in table.index]
    known = [at for at, (name, *_) in enumerate(parts) if name in by_row]
    if not known:
        return None
    ends = [float(parts[at][2]) for at in known]
    return _Cells(
        [by_row[parts[at][0]] for at in known],
        [end - segment_s for end in ends],
        ends,
        table.iloc[known].to_numpy(np.float64),
        list(table.columns),
        "recordings of the submission, whose truth is not there",
    )


def _recordings(table: Path) -> set[str]:
    return set(map(str, pd.read_parquet(table, columns=["recording"])["recording"].unique()))


def _made(store: Store, run: Run, stage: str) -> list[tuple[str, Artifact]]:
    """The artifacts of a run's stage that are in the store, with their steps' names, in order."""
    refs = [(name, Ref(own, key)) for name, own, key in run.steps if own == stage]
    return [(name, store.get(ref)) for name, ref in refs if store.find(ref) is not None]


def _how_to_detect(run: Run, out: Path) -> str:
    data = Path(run.request.data)
    folders = (data / layout.soundscapes for layout in LAYOUTS)
    heard = next((folder for folder in folders if folder.is_dir()), data)
    if not (out / MODEL).is_dir():
        return f"{out}: the run has left no models here: run it to its end first"
    return (
        f"{out}: the run has not predicted what nobody has labelled: birdflow detect {heard} "
        f"--model {out} --out {out}-detections --rtype parquet, and review {out}-detections"
    )
