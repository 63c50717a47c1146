"""Stage `predict`: probabilities by the models of one round for one shard of test soundscapes.

Publishes `predictions.parquet`: for each backbone (the mean over its folds), recording and segment
of 5 s the probabilities of all classes, before any smoothing. An external teacher that is a member
of the ensemble predicts like a round of its own, from its stored outputs.
"""

from typing import TYPE_CHECKING

from birdcore.config import Predict, defaults_of
from birdcore.config.probe import PROBE
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from birdcore.features.recordings import StoredRecordings
    from birdcore.inference.predict import Segments

VERSION = 1


class Settings(Predict):
    """What the stage reads: how to predict, and the external teacher where it predicts."""

    teacher: str | None = None


def step(
    round_name: str,
    shard: int,
    models: tuple[Ref, ...],
    mel: Ref,
    settings: Predict,
    exports: tuple[Ref, ...] = (),
) -> Step:
    """Predictions of one shard by the models of a round, or on a CPU by their exports if given."""
    config = settings.model_dump(include={"output", "step_s", "segment_s"})
    inputs = {"models": models, "mel": (mel,)} | ({"exports": exports} if exports else {})
    name = f"predict {round_name} {shard:04d}"
    return Step("predict", VERSION, name, config, inputs, defaults=defaults_of(settings))


def external_teacher_step(
    name: str, model: str, shard: int, outputs: Ref, mel: Ref, catalog: Ref, settings: Predict
) -> Step:
    """Predictions of one shard by an external teacher, from its outputs for this shard.

    Its name is the recipe's, for people; the model is the member that the rows are of.
    """
    config = {"segment_s": settings.segment_s, "teacher": model}
    inputs = {"heard": (outputs,), "mel": (mel,), "catalog": (catalog,)}
    called = f"predict {name} {shard:04d}"
    return Step("predict", VERSION, called, config, inputs, defaults=defaults_of(settings))


def probe_step(
    round_name: str, shard: int, probes: tuple[Ref, ...], outputs: Ref, mel: Ref, catalog: Ref,
    settings: Predict,
) -> Step:  # fmt: skip
    """Predictions of one shard by the probes of a round, from their teacher's outputs for it."""
    config = {"segment_s": settings.segment_s, "teacher": PROBE}
    inputs = {"probes": probes, "heard": (outputs,), "mel": (mel,), "catalog": (catalog,)}
    name = f"predict {round_name} {shard:04d}"
    return Step("predict", VERSION, name, config, inputs, defaults=defaults_of(settings))


def run(job: Job) -> Metrics:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from birdcore.inference.predict import read_soundscapes

    schema = pa.schema(
        [("recording", pa.string()), ("backbone", pa.string()), ("end", pa.int64()),
         ("probabilities", pa.list_(pa.float32()))]
    )  # fmt: skip
    settings = Settings.model_validate(job.config)
    soundscapes = read_soundscapes(job.input("mel") / "mel.parquet")
    of_teacher = bool(job.step.inputs.get("heard"))
    predicted = (_teacher if of_teacher else _backbones)(job, soundscapes, settings)
    rows = []
    job.progress(0, len(soundscapes.names), "")
    for row, (name, by_member) in enumerate(zip(soundscapes.names, predicted, strict=True)):
        rows += [
            {"recording": name, "backbone": member, "end": int(end), "probabilities": p}
            for member, segments in by_member.items()
            for end, p in zip(segments.ends, segments.probabilities, strict=True)
        ]
        job.progress(row + 1, len(soundscapes.names), name)
    pq.write_table(pa.Table.from_pylist(rows, schema), job.folder / "predictions.parquet")
    return {
        "recordings": len(soundscapes.names),
        "rows": len(rows),
        "models": len(job.step.inputs.get("models", job.step.inputs.get("probes", ()))),
    }


def _backbones(
    job: Job, soundscapes: "StoredRecordings", settings: Settings
) -> "Iterator[dict[str, Segments]]":
    """For each recording the segments by each backbone: the mean over the models of all folds."""
    from birdcore.inference.predict import Predictor, load_predictors, predict_segments
    from birdcore.inference.window_batches import Recording

    folds: dict[str, list[Predictor]] = {}
    models, exports = ([each.folder for each in job.inputs(k)] for k in ("models", "exports"))
    for predictor in load_predictors(models, exports=exports):
        folds.setdefault(predictor.model_spec.backbone, []).append(predictor)
    recordings = (Recording(soundscapes, row) for row in range(len(soundscapes.names)))
    for segments in predict_segments(list(folds.values()), recordings, settings):
        of_backbones = zip(folds, segments.probabilities, strict=True)
        yield {name: segments._replace(probabilities=p) for name, p in of_backbones}


def _teacher(
    job: Job, soundscapes: "StoredRecordings", settings: Settings
) -> "Iterator[dict[str, Segments]]":
    """For each recording the segments by the external teacher, or by probes of it."""
    from birdcore.inference.predict import Segments
    from birdcore.inference.probe_predictions import read_probe_predictions
    from birdcore.inference.teacher_predictions import segment_probabilities
    from birdcore.inference.window_batches import Recording
    from birdcore.inference.windows import segment_ends

    if not soundscapes.names:
        return
    assert settings.teacher is not None, "outputs of a teacher come with its name"
    outputs = [artifact / "heard.parquet" for artifact in job.inputs("heard")]
    species = job.input("catalog") / "species.parquet"
    probes = [probe.folder for probe in job.inputs("probes")]
    predictions = read_probe_predictions(probes, outputs, species, soundscapes.names)
    segment_s = settings.segment_s
    for row, name in enumerate(soundscapes.names):
        ends = segment_ends(Recording(soundscapes, row).cells.duration_s, segment_s)
        starts = ends - float(segment_s)
        p = segment_probabilities(predictions, row, starts, segment_s)
        yield {settings.teacher: Segments(name, ends, p)}
