"""Stage `probe`: one probe of one round, a head on an external teacher's embeddings, for one fold.

Publishes `probe.safetensors`, `probe.json` and `teacher.json` (whose embeddings it reads), and
`history.jsonl`, `ATTRIBUTION.csv` and `held_out.parquet`, as the stage `train` has them.
"""

from collections.abc import Mapping

from birdcore.config import Round, defaults_of
from birdcore.config.probe import ProbeConfig
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.store import Job

NAME, VERSION = "probe", 1

READS = {
    "objective", "probe", "weight_decay", "secondary_weight", "min_rating", "validate_min_rating",
}  # fmt: skip
"""The keys of a round that decide a probe,"""
ADAM_READS = {
    "epochs", "repeat", "batch", "crop_s", "learning_rate", "min_lr", "warmup", "ema", "dropout",
    "framewise_weight", "label_smoothing", "min_per_class",
}  # fmt: skip
"""those of one that is trained by epochs,"""
ANNOTATED_READS = {"train", "validate_on", "event_share", "crop_share"}
"""and of its table `annotated`."""


def step(
    round_config: Round,
    fold: int,
    seed: int,
    inputs: Mapping[str, tuple[Ref, ...]],
) -> Step:
    """The training of one probe.

    Args:
        round_config: the round.
        fold: the fold that validates the probe and does not train it.
        seed: the recipe's.
        inputs: catalog, folds, heard (the teacher's outputs for clips); and, where the round uses
            them, heard_annotated and heard_soundscapes.
    """
    by_epochs = round_config.probe.solver == "adam"
    config = round_config.model_dump(include=READS | (ADAM_READS if by_epochs else set()))
    if inputs.get("heard_annotated"):
        config["annotated"] = round_config.annotated.model_dump(include=ANNOTATED_READS)
        if round_config.probe.unannotated == "teacher":
            config["judged_is_open"] = True  # earlier ones took the teacher's label there
    config |= {"fold": fold, "seed": seed}
    if round_config.min_rating or round_config.validate_min_rating:
        config["zero_is_unrated"] = True  # as in the stage `train`
    name = f"probe {round_config.name} fold {fold}"
    return Step(NAME, VERSION, name, config, inputs, defaults=defaults_of(round_config))


def run(job: Job) -> Metrics:
    import pandas as pd

    from birdcore.models.probe import save_probe
    from birdcore.sources.annotated import read_annotated
    from birdcore.sources.catalog import read_labels, read_recordings
    from birdcore.teachers.outputs import read_teacher_info
    from birdcore.teachers.teacher_use import TeacherUse
    from birdcore.training.probe import train_probe
    from birdcore.training.probe_set import ProbeFiles, read_probe_set
    from birdcore.training.records import FILE, attribution, write_attribution, write_history

    heard = next(iter(job.inputs("heard") or job.inputs("heard_annotated"))).manifest.config
    config = ProbeConfig.model_validate({**job.config, "hop_s": heard["hop_s"]})
    catalog, folds = job.input("catalog"), job.input("folds")
    outputs = {
        name: [artifact / "heard.parquet" for artifact in job.inputs(name)]
        for name in ("heard", "heard_annotated", "heard_soundscapes")
    }
    files = ProbeFiles(
        classes=read_labels(catalog),
        species=catalog / "species.parquet",
        recordings=read_recordings(catalog),
        folds=pd.read_parquet(folds / "folds.parquet").set_index("recording")["fold"],
        clips=outputs["heard"],
        annotated=outputs["heard_annotated"],
        soundscapes=outputs["heard_soundscapes"],
        annotations=read_annotated(catalog) if outputs["heard_annotated"] else None,
    )
    data = read_probe_set(files, config)
    trained = train_probe(data, files.classes, config, job.progress)
    save_probe(job.folder, trained.probe)
    names = pd.read_parquet(files.species, columns=["scientific_name"])["scientific_name"]
    TeacherUse(
        teacher=heard["teacher"],
        model=heard["model"],
        species=tuple(names.fillna("")),
        mapped=heard.get("mapped", {}),
    ).write(job.folder)
    write_history(job.folder, trained.history)
    credits = [read_teacher_info(path).credit for paths in outputs.values() for path in paths]
    rows = attribution(files.recordings, data.trained_recordings, (), dict.fromkeys(credits))
    write_attribution(job.folder / FILE, rows)
    trained.held_out.to_parquet(job.folder / "held_out.parquet", index=False)
    return {
        "auc": trained.auc,
        "prior": trained.probe.spec.prior,
        "epochs": len(trained.history),
        "trained_on": len(data.trained_recordings),
        "held_out": len(trained.held_out),
        "segments": 0,
    }
