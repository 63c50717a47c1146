"""Stage `train`: one model of one round, for one backbone and fold.

Publishes `model.safetensors`, `model.json` and `input.json` (all that prediction needs),
`history.jsonl`, TensorBoard events in `tb/`, `ATTRIBUTION.csv`, and `held_out.parquet`: what the
published weights predict for the recordings of the validation fold.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from birdcore.config import Round, defaults_of
from birdcore.config.training import LabelSelection, TrainConfig, TrainSettings
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.files import file_sha256
from birdcore.store.store import Job

if TYPE_CHECKING:
    from birdcore.models.input import InputSpec
    from birdcore.models.sed import ModelSpec
    from birdcore.training.checkpoint import Training
    from birdcore.training.training_files import TrainingFiles
    from birdcore.training.training_set import TrainingSet

VERSION = 7
EMBEDDINGS_VERSION = 8
"""Of objective = "embeddings": a crop's embedding is of its own seconds."""

TEACHER_ONLY = {"mix", "mix_share", "mix_as", "match_power", "targets"}
"""Settings without effect where no teacher labels anything and nothing annotated is mixed; no part
of such a model's key."""


def step(
    round_config: Round,
    backbone: str,
    fold: int,
    seed: int,
    inputs: Mapping[str, tuple[Ref, ...]],
) -> Step:
    """The training of one model.

    Args:
        round_config: the round.
        backbone: one of the round's.
        fold: the fold that validates the model and does not train it.
        seed: the recipe's.
        inputs: catalog, folds, mel; and, where the round uses them, annotated, soundscapes, labels,
            clip_labels, annotated_labels, start (the model it starts from), heard, heard_annotated
            and heard_soundscapes (an external teacher's outputs).
    """
    mixes = round_config.teacher or round_config.annotated.mix
    read = TrainSettings.model_fields.keys() - (set() if mixes else TEACHER_ONLY)
    config = round_config.model_dump(include=set(read))
    config |= {"backbone": backbone, "fold": fold, "seed": seed}
    if round_config.min_rating or round_config.validate_min_rating:
        config["zero_is_unrated"] = True  # iNaturalist's recordings have no rating, written as 0.0
    if round_config.teacher:
        selection = set(LabelSelection.model_fields)
        config["label"] = round_config.label.model_dump(include=selection)
        config["out_of_fold"] = round_config.label.teachers == "out-of-fold"
    files, root = {}, ""
    if round_config.weights is not None:
        weights = Path(round_config.weights).absolute()
        files, root = {weights.name: file_sha256(weights)}, str(weights.parent)
    name = f"train {round_config.name} {backbone} fold {fold}"
    version = EMBEDDINGS_VERSION if round_config.objective == "embeddings" else VERSION
    return Step("train", version, name, config, inputs, files, root, defaults_of(round_config))


def run(job: Job) -> Metrics:
    from birdcore.models.input import InputSpec, pick_device
    from birdcore.models.sed import ModelSpec
    from birdcore.training.loop import begin_training, train_epochs
    from birdcore.training.training_set import read_training_set
    from birdcore.training.validate import held_out_cosine

    config = TrainConfig.model_validate(job.config)
    device = pick_device()
    files = training_files({name: job.inputs(name) for name in job.step.inputs}, config)
    data = read_training_set(files, config, device)
    spec = data.clips.spec
    input_spec = InputSpec(
        mel=spec,
        scale=data.clips.scale,
        frames=spec.fixed_length(config.window_s or config.crop_s),
        normalise=config.normalise,
        top_db=config.top_db,
    )
    outputs = data.teacher_outputs
    width = None if outputs is None else outputs.embeddings.shape[1]
    channels, bins, _ = input_spec.shape
    model_spec = ModelSpec.of(
        config,
        config.backbone,
        files.classes,
        bins,
        width,
        channels,
        frames=spec.fixed_length(config.crop_s),
        window=input_spec.frames,
    )
    training = begin_training(
        config,
        model_spec,
        device,
        key=job.step.key,
        weights=next((job.source(name) for name in job.step.files), None),
        initial=next((model.folder for model in job.inputs("start")), None),
    )
    result = train_epochs(training, data, config, input_spec, job.folder, job.progress)
    _write(job, training, data, input_spec, model_spec, files)
    cosine = {}
    if outputs is not None:
        cosine = {"cosine": held_out_cosine(training.evaluated, data, input_spec)}
    return {
        "auc": result.auc,
        **cosine,
        "loss": training.history[-1]["loss"],
        "epochs": len(training.history),
        "trained_on": len(data.trained_recordings) if data.annotated else len(data.train),
        "held_out": len(data.held_out),
        "segments": 0 if data.segments is None else len(data.segments.rows),
        "device": device.type,
        "resumed_at": result.resumed_at,
        "crops_per_s": result.crops_per_s,
    }


def training_files(
    inputs: Mapping[str, Sequence[Artifact]], config: TrainConfig
) -> "TrainingFiles":
    """The files of a training step's inputs, which have the names that `step` takes."""
    import pandas as pd

    from birdcore.sources.annotated import read_annotated
    from birdcore.sources.catalog import read_labels, read_recordings
    from birdcore.training.training_files import TrainingFiles

    def files(name: str, file: str) -> list[Path]:
        return [artifact / file for artifact in inputs.get(name, ())]

    (catalog,), (folds,) = inputs["catalog"], inputs["folds"]
    is_annotated = inputs.get("annotated") and not inputs.get("heard_annotated")
    return TrainingFiles(
        classes=read_labels(catalog),
        recordings=read_recordings(catalog),
        folds=pd.read_parquet(folds / "folds.parquet").set_index("recording")["fold"],
        fold_count=folds.manifest.config["count"] if config.out_of_fold else 0,
        mels=files("mel", "mel.parquet"),
        annotated=files("annotated", "mel.parquet"),
        annotations=read_annotated(catalog) if is_annotated else None,
        soundscapes=files("soundscapes", "mel.parquet"),
        segment_labels=files("labels", "labels.parquet"),
        clip_labels=files("clip_labels", "labels.parquet"),
        annotated_labels=files("annotated_labels", "labels.parquet"),
        clip_outputs=files("heard", "heard.parquet"),
        annotated_outputs=files("heard_annotated", "heard.parquet"),
        soundscape_outputs=files("heard_soundscapes", "heard.parquet"),
    )


def _write(
    job: Job,
    training: "Training",
    data: "TrainingSet",
    input_spec: "InputSpec",
    model_spec: "ModelSpec",
    files: "TrainingFiles",
) -> None:
    from birdcore.models.input import save_input
    from birdcore.models.sed import save_model
    from birdcore.pseudo_labels.labels import read_credits
    from birdcore.teachers.outputs import read_teacher_info
    from birdcore.training.records import FILE, attribution, write_attribution, write_history
    from birdcore.training.validate import held_out_table

    save_model(job.folder, training.evaluated, model_spec)
    save_input(job.folder, input_spec)
    write_history(job.folder, training.history)
    outputs = [*files.clip_outputs, *files.annotated_outputs, *files.soundscape_outputs]
    credits = [read_teacher_info(path).credit for path in outputs]
    labels = [*files.segment_labels, *files.clip_labels, *files.annotated_labels]
    credits += [credit for path in labels for credit in read_credits(path)]
    rows = attribution(
        files.recordings,
        data.trained_recordings,
        [model / FILE for model in job.inputs("start")],
        dict.fromkeys(credits),
    )
    write_attribution(job.folder / FILE, rows)
    if data.teacher_outputs is None:
        table = held_out_table(training.evaluated, data, input_spec)
        table.to_parquet(job.folder / "held_out.parquet", index=False)
