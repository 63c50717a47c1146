"""Stage `label`: a teacher's soft labels for one shard of soundscapes, or of recordings that
somebody labelled.

Publishes `labels.parquet` (see `birdcore.pseudo_labels.labels`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from birdcore.config import Round, defaults_of
from birdcore.config.round import LabelConfig, LabelSettings
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from birdcore.features.recordings import StoredRecordings
    from birdcore.inference.predict import Predictor
    from birdcore.pseudo_labels.teacher import Teacher

VERSION = 2
EXTERNAL_VERSION = 3
"""Where external teachers label: by the windows around a segment's middle, not by all over it."""

Labelled: TypeAlias = Literal["soundscapes", "clips", "annotated"]


def step(
    round_config: Round,
    labelled: Labelled,
    shard: int,
    teacher: tuple[Ref, ...],
    mel: Ref,
    *,
    fold: int | None = None,
    folds: Ref | None = None,
    external: Sequence[tuple[Ref, float]] = (),
    catalog: Ref | None = None,
    exports: tuple[Ref, ...] = (),
    probes: tuple[Ref, ...] = (),
) -> Step:
    """The labels of one shard.

    Args:
        round_config: the round that is to be trained on them.
        labelled: what the shard holds; segments of clips are as long as the round's crops.
        shard: its number, for the name.
        teacher: models.
        mel: the shard's mels.
        fold: for the name, where each fold has teachers of its own.
        folds: folds of the recordings, where each is labelled by the models that were not trained
            on it.
        external: external teachers' outputs for the shard, each with its weight.
        catalog: the catalogue, which maps their species to classes.
        exports: the models' exports, which label on a CPU; if none, the models do.
        probes: of the only external teacher, which label in its place.
    """
    label = round_config.label
    config = label.model_dump(include=set(LabelSettings.model_fields))
    config["segment_s"] = (
        round_config.crop_s
        if labelled == "clips"
        else label.segment_s or min(5.0, round_config.crop_s)
    )
    name = f"label for {round_config.name} {labelled} {shard:04d}"
    name += "" if fold is None else f" fold {fold}"
    inputs: dict[str, tuple[Ref, ...]] = {"teacher": teacher, "mel": (mel,)}
    if exports:
        inputs["exports"] = exports
    if probes:
        inputs["probes"] = probes
    if folds is not None:
        inputs["folds"] = (folds,)
    if external and catalog is not None:
        inputs["heard"], inputs["catalog"] = tuple(ref for ref, _ in external), (catalog,)
        weights = tuple(weight for _, weight in external)
        config["external_weight"] = weights[0] if len(weights) == 1 else weights
    version = EXTERNAL_VERSION if external else VERSION
    return Step("label", version, name, config, inputs, defaults=defaults_of(label))


def run(job: Job) -> Metrics:
    import numpy as np

    from birdcore.inference.predict import read_soundscapes
    from birdcore.pseudo_labels.labels import label_recordings, write_labels

    config = LabelConfig.model_validate(job.config)
    recordings = read_soundscapes(job.input("mel") / "mel.parquet")
    teacher = _read_teacher(job, recordings)
    labels = label_recordings(teacher, recordings, config, job.progress)
    models = [f"{ref.stage}/{ref.key}" for ref in job.step.inputs["teacher"]]
    write_labels(job.folder / "labels.parquet", labels, teacher, models, config.power)
    mean_sum = None
    if len(labels):
        mean_sum = round(float(np.stack(labels["labels"].to_list()).sum(axis=1).mean()), 4)
    return {
        "recordings": len(recordings.names),
        "segments": len(labels),
        "kept": int(labels["kept"].sum()),
        "mean_label_sum": mean_sum,
    }


def _read_teacher(job: Job, recordings: "StoredRecordings") -> "Teacher":
    import pandas as pd

    from birdcore.inference.predict import load_predictors
    from birdcore.inference.probe_predictions import read_probe_predictions
    from birdcore.pseudo_labels.teacher import Teacher, out_of_fold, recording_folds
    from birdcore.sources.catalog import read_labels

    models = job.inputs("teacher")
    exports = [export.folder for export in job.inputs("exports")]
    predictors = load_predictors([model.folder for model in models], exports=exports)
    by_recording: dict[str, Sequence[Predictor]] = dict.fromkeys(recordings.names, predictors)
    if job.step.inputs.get("folds"):
        folds = job.input("folds")
        table = pd.read_parquet(folds / "folds.parquet").set_index("recording")["fold"]
        count = folds.manifest.config["count"]
        model_folds = [model.manifest.config["fold"] for model in models]
        names = recording_folds(table, count, recordings.names)
        by_recording = out_of_fold(predictors, model_folds, names)
    if not job.step.inputs.get("heard"):
        return Teacher(predictors[0].model_spec.classes, by_recording)
    catalog = job.input("catalog")
    species = catalog / "species.parquet"
    probes = [probe.folder for probe in job.inputs("probes")]
    external = tuple(
        read_probe_predictions(probes, [artifact / "heard.parquet"], species, recordings.names)
        for artifact in job.inputs("heard")
    )
    return Teacher(read_labels(catalog), by_recording, external)
