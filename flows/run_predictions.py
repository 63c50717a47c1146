"""What a run's models say of recordings that nobody has labelled, from what its store holds.

A run has predicted them already: as labels for a student, as outputs of the teacher that its probes
read, or as rows of its submission. So nothing is heard again. Soundscapes of a test whose truth is
there are left out: who trains on verdicts of them can't be tested on them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from birdcore.audio.channels import file_of
from birdcore.detection.from_probabilities import cells_above, detections_of
from birdcore.detection.species_list import read_classes
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.catalog import read_labels
from birdcore.sources.plain_folder import SUBSETS
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.run_records import Run
from birdcore.store.store import Store
from birdcore.unicode_names import find_by_name
from flows.run_artifacts import fetched, heard_once, kind_of, made, manifests_of, refs_of, run_of

LEAST = 0.1
"""Less probable cells are not listened to: most of a table has nothing in it."""
UNLABELLED = {SUBSETS["unlabelled"], *(layout.soundscapes for layout in LAYOUTS)}
"""What shards of recordings that nobody has labelled are called."""
MODEL, SEGMENT = "model", ("recording", "start", "end")


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
    """Probable cells as `cells_above` gives them, their classes' names, and what they are of."""

    cells: pd.DataFrame
    classes: Sequence[str]
    source: str


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
    least = max(least, LEAST)
    found = next(filter(None, (read(store, run, least) for read in READ)), None)
    if found is None:
        raise ValueError(_how_to_detect(run, out))
    table = detections_of(found.cells, read_classes(out / MODEL, found.classes))
    if not len(table):
        raise ValueError(f"{out}: no class is as probable as {least:g} in any {found.source}")
    root = Path(run.request.data)
    places = {name: find_by_name(root, name) for name in table["file"].cat.categories}
    paths = {name: path.relative_to(root).as_posix() for name, path in places.items()}
    table["file"] = table["file"].cat.rename_categories(paths)
    return Predicted(table, root, found.source)


def _labels(store: Store, run: Run, least: float) -> _Cells | None:
    """Labels of soundscapes for the last student: what its teachers said, before any power.

    Teachers of all folds label them all. Their tables are added one by one, shard after shard: all
    of them at once are more than most machines hold.
    """
    from birdcore.pseudo_labels.labels import read_teacher_said

    of_student: dict[str, dict[str, list[Ref]]] = {}
    for name, ref in refs_of(run, "label"):
        student, soundscapes, shard = name.removeprefix("label for ").rpartition(" soundscapes ")
        if soundscapes:
            shards = of_student.setdefault(student, {})
            shards.setdefault(shard.partition(" ")[0], []).append(ref)
    for student, shards in reversed(of_student.items()):
        classes, parts = None, []
        for refs in shards.values():
            said = (read_teacher_said(each / "labels.parquet") for each in fetched(store, refs))
            if (mean := _mean(said)) is None:
                continue
            classes = list(mean.columns) if classes is None else classes
            recordings, starts, ends = (mean.index.get_level_values(each) for each in SEGMENT)
            parts.append(cells_above(recordings, starts, ends, mean.to_numpy(), least))
        if classes is not None:
            return _in_order(parts, classes, f"soundscapes, as labelled for {student}")
    return None


def _mean(tables: Iterable[pd.DataFrame]) -> pd.DataFrame | None:
    """The mean (S, K), float64, of those that have a segment; None where none has."""
    sums = count = None
    for table in tables:
        each, ones = table.astype(np.float64), pd.Series(1.0, table.index)
        sums = each if sums is None else sums.add(each, fill_value=0.0)
        count = ones if count is None else count.add(ones, fill_value=0.0)
    if sums is None or count is None or not len(sums):
        return None
    return sums.div(count, axis=0)


def _probes(store: Store, run: Run, least: float) -> _Cells | None:
    """The mean of all probes of the last round, on the outputs of their teacher."""
    from birdcore.inference.probe_predictions import probe_predictions
    from birdcore.inference.teacher_predictions import read_teacher_predictions
    from birdcore.models.probe import load_probe
    from birdcore.teachers.teacher_use import TeacherUse

    rounds: dict[str, list[Artifact]] = {}
    for probe in made(store, run, "probe"):
        rounds.setdefault(probe.manifest.name.rpartition(" fold ")[0], []).append(probe)
    catalog = next(made(store, run, "catalog"), None)
    if not rounds or catalog is None:
        return None
    named, of_round = list(rounds.items())[-1]
    teacher = TeacherUse.read(of_round[0].folder)
    unlabelled = [
        (name, manifest)
        for name, manifest in manifests_of(store, run, "external_teacher")
        if kind_of(name) in UNLABELLED
        and manifest.config["teacher"] == teacher.teacher
        and manifest.config["model"] == teacher.model
    ]
    probes, parts = [load_probe(probe.folder) for probe in of_round], []
    for heard in heard_once(store, unlabelled, _trained_on(store, of_round[0])):
        file = heard / "heard.parquet"
        if not (names := sorted(_recordings(file))):
            continue
        asked = read_teacher_predictions([file], catalog / "species.parquet", names)
        outputs = probe_predictions(probes, asked).outputs
        recordings = np.repeat(np.array(names, object), outputs.count.numpy())
        starts, p = outputs.starts.numpy(), outputs.probabilities.float().numpy()
        parts.append(cells_above(recordings, starts, starts + outputs.info.window_s, p, least))
    return _in_order(parts, read_labels(catalog), f"unlabelled recordings, by {named}")


def _trained_on(store: Store, probe: Artifact) -> Mapping[str, Any] | None:
    """The settings of the outputs that a probe was trained on; None where they are gone."""
    read = (ref for ref in probe.manifest.reads if ref.stage == "external_teacher")
    heard = (store.manifest(ref) for ref in read)
    return next((manifest.config for manifest in heard if manifest is not None), None)


def _in_order(parts: Sequence[pd.DataFrame], classes: Sequence[str], source: str) -> _Cells | None:
    """The cells of shards, by recording, time and class; None where there is no shard."""
    if not parts:
        return None
    cells = pd.concat(parts, ignore_index=True)
    cells = cells.sort_values(["recording", "start_s", "end_s", "label"], ignore_index=True)
    return _Cells(cells.assign(recording=cells["recording"].map(file_of)), classes, source)


def _unscored(store: Store, run: Run, least: float) -> _Cells | None:
    """The submission's rows, where nothing says what is true in them."""
    from birdcore.inference.submission import scored_file

    submitted = next(made(store, run, "submission"), None)
    if submitted is None or refs_of(run, "score"):
        return None
    named = submitted.manifest.config.get("names", {})
    files, segment_s = set[str](), 5.0
    for artifact in made(store, run, "predict"):
        files |= {file_of(name) for name in _recordings(artifact / "predictions.parquet")}
        segment_s = float(artifact.manifest.config.get("segment_s", segment_s))
    by_row = {named.get(file, PurePosixPath(file).stem): file for file in files}
    table = pd.read_csv(scored_file(submitted.folder), index_col="row_id")
    parts = [str(row).rpartition("_") for row in table.index]
    known = [at for at, (name, *_) in enumerate(parts) if name in by_row]
    if not known:
        return None
    ends = np.array([float(parts[at][2]) for at in known])
    files_of = [by_row[parts[at][0]] for at in known]
    p = table.iloc[known].to_numpy(np.float64)
    cells = cells_above(files_of, ends - segment_s, ends, p, least)
    return _Cells(
        cells, list(table.columns), "recordings of the submission, whose truth is not there"
    )


def _recordings(table: Path) -> set[str]:
    return set(map(str, pd.read_parquet(table, columns=["recording"])["recording"].unique()))


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


READ = (_labels, _probes, _unscored)
"""Where a run's predictions are, the most telling first."""
