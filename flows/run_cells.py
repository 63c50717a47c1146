"""What the artifacts of a run say of recordings that nobody has labelled, cell by cell.

Shards are read one after another, and of each only the cells that are probable enough are kept: all
tables of a run at once are more than most machines hold.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from birdcore.audio.channels import file_of
from birdcore.detection.from_probabilities import cells_above
from birdcore.sources.annotated import read_annotated
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.birdclef_windows import LABELLED_SOUNDSCAPES
from birdcore.sources.catalog import read_labels
from birdcore.sources.plain_folder import SUBSETS
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.run_records import Run
from birdcore.store.store import Store
from flows.run_artifacts import fetched, heard_once, kind_of, made, manifests_of, names_of, refs_of
from flows.unjudged import unjudged

LABELS = re.compile(r"label for (.+) (soundscapes|annotated) (\d+)(?: fold \d+)?")
"""Steps of labels: for whom, what was labelled, the shard."""
UNLABELLED = {SUBSETS["unlabelled"], *(layout.soundscapes for layout in LAYOUTS)}
"""What shards of recordings that nobody has labelled are called."""
ANNOTATED = {SUBSETS["annotated"], LABELLED_SOUNDSCAPES}
"""The same of recordings that somebody has annotated, at least in part."""
SEGMENT = ("recording", "start", "end")


@dataclass(frozen=True)
class RunCells:
    """Probable cells as `cells_above` gives them, their classes' names, and what they are of."""

    cells: pd.DataFrame
    classes: Sequence[str]
    source: str


def labelled_cells(store: Store, run: Run, least: float) -> RunCells | None:
    """Labels of soundscapes for the last student: what its teachers said, before any power.

    Teachers of all folds label them all. Their tables are added one by one, shard after shard: all
    of them at once are more than most machines hold.
    """
    from birdcore.pseudo_labels.labels import read_teacher_said

    of_student: dict[str, dict[tuple[str, str], list[Ref]]] = {}
    for name, ref in refs_of(run, "label"):
        if found := LABELS.fullmatch(name):
            student, labelled, shard = found.groups()
            of_student.setdefault(student, {}).setdefault((labelled, shard), []).append(ref)
    catalog, names = _catalog(store, run), names_of(run)
    annotated = None if catalog is None else read_annotated(catalog)
    for student, shards in reversed(of_student.items()):
        classes, parts = None, []
        for (labelled, _), refs in shards.items():
            artifacts = fetched(store, refs)
            if labelled == "annotated":  # of the data folder: others' names begin elsewhere
                artifacts = (
                    each
                    for each in artifacts
                    if kind_of(names[each.manifest.inputs["mel"][0]]) in ANNOTATED
                )
            said = (read_teacher_said(each / "labels.parquet") for each in artifacts)
            if (mean := _mean(said)) is None:
                continue
            classes = list(mean.columns) if classes is None else classes
            recordings, starts, ends = (mean.index.get_level_values(each) for each in SEGMENT)
            cells = cells_above(recordings, starts, ends, mean.to_numpy(), least)
            if labelled == "annotated":
                cells = unjudged(cells, classes, annotated) if annotated else cells[:0]
            parts.append(cells)
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


def probed_cells(store: Store, run: Run, least: float) -> RunCells | None:
    """The mean of all probes of the last round, on the outputs of their teacher."""
    from birdcore.inference.probe_predictions import probe_predictions
    from birdcore.inference.teacher_predictions import read_teacher_predictions
    from birdcore.models.probe import load_probe
    from birdcore.teachers.teacher_use import TeacherUse

    rounds: dict[str, list[Artifact]] = {}
    for name, ref in refs_of(run, "probe"):
        if (probe := store.fetched(ref)) is not None:
            rounds.setdefault(name.rpartition(" fold ")[0], []).append(probe)
    catalog = _catalog(store, run)
    if not rounds or catalog is None:
        return None
    named, of_round = list(rounds.items())[-1]
    teacher = TeacherUse.read(of_round[0].folder)
    own = [
        (name, manifest)
        for name, manifest in manifests_of(store, run, "external_teacher")
        if kind_of(name) in UNLABELLED | ANNOTATED
        and manifest.config["teacher"] == teacher.teacher
        and manifest.config["model"] == teacher.model
    ]
    probes, parts = [load_probe(probe.folder) for probe in of_round], []
    classes, annotated, names = read_labels(catalog), read_annotated(catalog), names_of(run)
    for heard in heard_once(store, own, _trained_on(store, of_round[0])):
        file = heard / "heard.parquet"
        if not (recordings := sorted(_recordings(file))):
            continue
        asked = read_teacher_predictions([file], catalog / "species.parquet", recordings)
        outputs = probe_predictions(probes, asked).outputs
        of_window = np.repeat(np.array(recordings, object), outputs.count.numpy())
        starts, p = outputs.starts.numpy(), outputs.probabilities.float().numpy()
        cells = cells_above(of_window, starts, starts + outputs.info.window_s, p, least)
        if annotated and kind_of(names[f"external_teacher/{heard.ref.key}"]) in ANNOTATED:
            cells = unjudged(cells, classes, annotated)
        parts.append(cells)
    return _in_order(parts, classes, f"unlabelled recordings, by {named}")


def _catalog(store: Store, run: Run) -> Artifact | None:
    """The catalogue that the run's rounds read; None where it is gone."""
    joined = next(made(store, run, "joined"), None)
    return joined or next(made(store, run, "catalog"), None)


def _trained_on(store: Store, probe: Artifact) -> Mapping[str, Any] | None:
    """The settings of the outputs that a probe was trained on; None where they are gone."""
    read = (ref for ref in probe.manifest.reads if ref.stage == "external_teacher")
    heard = (store.manifest(ref) for ref in read)
    return next((manifest.config for manifest in heard if manifest is not None), None)


def _in_order(
    parts: Sequence[pd.DataFrame], classes: Sequence[str], source: str
) -> RunCells | None:
    """The cells of shards, by recording, time and class; None where there is no shard."""
    if not parts:
        return None
    cells = pd.concat(parts, ignore_index=True)
    cells = cells.sort_values(["recording", "start_s", "end_s", "label"], ignore_index=True)
    return RunCells(cells.assign(recording=cells["recording"].map(file_of)), classes, source)


def submitted_cells(store: Store, run: Run, least: float) -> RunCells | None:
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
    return RunCells(
        cells, list(table.columns), "recordings of the submission, whose truth is not there"
    )


def _recordings(table: Path) -> set[str]:
    return set(map(str, pd.read_parquet(table, columns=["recording"])["recording"].unique()))
