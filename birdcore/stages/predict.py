"""Stage `predict`: probabilities by the models of one round for one shard of test soundscapes.

Publishes `predictions.parquet`: for each backbone (the mean over its folds), recording and segment
of 5 s the probabilities of all classes, before any smoothing. An external teacher that is a member
of the ensemble predicts like a round of its own, from its stored outputs.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from birdcore.config import Predict, defaults_of
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from birdcore.inference.engine import Floats
    from birdcore.inference.predict import Soundscapes

VERSION = 1
SegmentPredictor: TypeAlias = "Callable[[int], Floats]"
"""From the row of a recording to the probabilities (S, K) of its segments."""


class Settings(Predict):
    """What the stage reads: how to predict, and the external teacher where it predicts."""

    teacher: str | None = None


def step(round_name: str, shard: int, models: tuple[Ref, ...], mel: Ref, settings: Predict) -> Step:
    """Predictions of one shard by the models of a round."""
    config = settings.model_dump(include={"output", "step_s", "segment_s"})
    return Step(
        "predict",
        VERSION,
        f"predict {round_name} {shard:04d}",
        config,
        {"models": models, "mel": (mel,)},
        defaults=defaults_of(settings),
    )


def external_teacher_step(
    teacher: str, shard: int, outputs: Ref, mel: Ref, catalog: Ref, settings: Predict
) -> Step:
    """Predictions of one shard by an external teacher, from its outputs for this shard."""
    config = {"segment_s": settings.segment_s, "teacher": teacher}
    inputs = {"heard": (outputs,), "mel": (mel,), "catalog": (catalog,)}
    name = f"predict external_teacher {shard:04d}"
    return Step("predict", VERSION, name, config, inputs, defaults=defaults_of(settings))


def run(job: Job) -> Metrics:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from birdcore.inference.predict import read_soundscapes, recording_segments

    schema = pa.schema(
        [("recording", pa.string()), ("backbone", pa.string()), ("end", pa.int64()),
         ("probabilities", pa.list_(pa.float32()))]
    )  # fmt: skip
    settings = Settings.model_validate(job.config)
    soundscapes = read_soundscapes(job.input("mel") / "mel.parquet")
    of_teacher = bool(job.step.inputs.get("heard"))
    members = (_teacher if of_teacher else _backbones)(job, soundscapes, settings)
    rows = []
    for row, name in enumerate(soundscapes.names):
        job.progress(row, len(soundscapes.names), name)
        ends = recording_segments(soundscapes, row, settings.segment_s)
        for member, predict in members.items():
            rows += [
                {"recording": name, "backbone": member, "end": int(end), "probabilities": p}
                for end, p in zip(ends, predict(row), strict=True)
            ]
    job.progress(len(soundscapes.names), len(soundscapes.names), "")
    pq.write_table(pa.Table.from_pylist(rows, schema), job.folder / "predictions.parquet")
    return {
        "recordings": len(soundscapes.names),
        "rows": len(rows),
        "models": len(job.step.inputs.get("models", ())),
    }


def _backbones(
    job: Job, soundscapes: "Soundscapes", settings: Settings
) -> dict[str, SegmentPredictor]:
    """The predictors of each backbone: the models of all its folds."""
    from birdcore.inference.predict import Predictor, load_predictors, predict_segments

    predictors: dict[str, list[Predictor]] = {}
    for predictor in load_predictors([model.folder for model in job.inputs("models")]):
        predictors.setdefault(predictor.model_spec.backbone, []).append(predictor)

    def of(folds: list[Predictor]) -> SegmentPredictor:
        return lambda row: predict_segments(folds, soundscapes, row, settings)

    return {backbone: of(folds) for backbone, folds in predictors.items()}


def _teacher(
    job: Job, soundscapes: "Soundscapes", settings: Settings
) -> dict[str, SegmentPredictor]:
    from birdcore.inference.predict import recording_segments
    from birdcore.inference.teacher_predictions import (
        read_teacher_predictions,
        segment_probabilities,
    )

    if not soundscapes.names or settings.teacher is None:
        return {}
    outputs = [artifact / "heard.parquet" for artifact in job.inputs("heard")]
    species = job.input("catalog") / "species.parquet"
    predictions = read_teacher_predictions(outputs, species, soundscapes.names)
    segment_s = settings.segment_s

    def predict(row: int) -> "Floats":
        starts = recording_segments(soundscapes, row, segment_s) - float(segment_s)
        return segment_probabilities(predictions, row, starts, segment_s)

    return {settings.teacher: predict}
