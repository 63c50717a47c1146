"""Stage `train`: one model of one round, for one backbone and fold.

There is one loop for every round; what a round does is data to it. Publishes `model.safetensors`,
`model.json` and `input.json` (all that prediction needs), `history.jsonl`, TensorBoard events in
`tb/`, and `held_out.parquet`: what the best checkpoint says of the recordings it never trained on.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.optim import AdamW
from torch.utils.tensorboard import SummaryWriter

from birdcore.config import Round, defaults_of
from birdcore.models.input import InputSpec, pick_device, save_input
from birdcore.models.sed import ModelSpec, SedModel, load_model, place_model, save_model
from birdcore.sources.catalog import read_labels, read_recordings
from birdcore.stages.label import OVER_ALL, outside_credit
from birdcore.store.artifact import Metrics, Ref, Step
from birdcore.store.files import file_sha256
from birdcore.store.store import Job
from birdcore.teachers.external_teacher import Credit
from birdcore.teachers.outputs import read_teacher_info
from birdcore.training.attribution import FILE as ATTRIBUTION
from birdcore.training.attribution import attribution, write_attribution
from birdcore.training.checkpoint import (
    Training,
    drop_checkpoints,
    load_checkpoint,
    save_checkpoint,
    soup,
)
from birdcore.training.ema import ema
from birdcore.training.epoch import run_epoch, seed_of
from birdcore.training.training_set import TrainingSet, files_of, is_soundscape, training_set
from birdcore.training.validate import held_out_auc, held_out_cosine, held_out_probabilities

VERSION = 6

TEACHER_ONLY = {"mix", "mix_share", "mix_as", "match_power", "targets"}
ELSEWHERE = {
    *(
        "name",
        "data",
        "folds",
        "backbones",
        "init_from",
        "teacher",
        "iterations",
        "label",
        "weights",
    ),
}
"""Settings that are no part of a model's key: names, and what its inputs already say."""


def step(
    one: Round,
    backbone: str,
    fold: int,
    seed: int,
    inputs: Mapping[str, tuple[Ref, ...]],
) -> Step:
    """Training of one model; `inputs`: catalog, folds, mel, and soundscapes, labels, start."""
    unread = ELSEWHERE if one.teacher else ELSEWHERE | TEACHER_ONLY
    config = one.model_dump(exclude=unread) | {"backbone": backbone, "fold": fold, "seed": seed}
    if one.teacher:
        config["label"] = one.label.model_dump(include=OVER_ALL)
        config["out_of_fold"] = one.label.teachers == "out-of-fold"
    files, root = {}, ""
    if one.weights is not None:
        weights = Path(one.weights).absolute()
        files, root = {weights.name: file_sha256(weights)}, str(weights.parent)
    name = f"train {one.name} {backbone} fold {fold}"
    return Step("train", VERSION, name, config, inputs, files, root, defaults_of(one))


def run(job: Job) -> Metrics:
    began = time.monotonic()
    device = pick_device()
    classes = read_labels(job.input("catalog"))
    data = training_set(job, classes, device)
    reads = InputSpec(
        mel=data.clips.spec,
        frames=data.clips.spec.fixed_length(job.config["window_s"] or job.config["crop_s"]),
        normalise=job.config["normalise"],
        top_db=job.config["top_db"],
    )
    shape = ModelSpec(
        backbone=job.config["backbone"],
        classes=classes,
        n_mels=data.clips.spec.bins,
        embedding=None if data.heard is None else data.heard.embeddings.shape[1],
        clip=job.config["clip_pooling"],
        **{
            k: job.config[k]
            for k in ("frequency_pool", "frequency_channel", "drop_path", "dropout")
        },
    )
    training = _begin(job, shape, device)
    for name in load_checkpoint(job.folder, training):
        job.progress(0, job.config["epochs"], f"set aside {name}: damaged, or of another training")
    resumed_at = training.epoch
    with SummaryWriter(str(job.folder / "tb"), purge_step=training.epoch) as board:
        for epoch in range(training.epoch, job.config["epochs"]):
            run_epoch(job, training, data, reads, epoch)
            line = training.history[-1]
            for key in ("loss", "auc", "learning_rate"):
                if line[key] is not None:
                    board.add_scalar(key, line[key], epoch)
            save_checkpoint(job.folder, training)
            auc = "" if line["auc"] is None else f", AUC {line['auc']:.4f}"
            job.progress(epoch + 1, job.config["epochs"], f"loss {line['loss']:.4f}{auc}")
    training.judged.load_state_dict(soup(training.best))
    score = training.best[0]["auc"]
    if len(training.best) > 1 and len(data.held_out):
        score = held_out_auc(training.judged, data, reads)
    _write(job, training, data, reads, shape)
    drop_checkpoints(job.folder)
    losses = [line["loss"] for line in training.history]
    return {
        "auc": score,
        **({} if data.heard is None else {"cosine": held_out_cosine(training.judged, data, reads)}),
        "loss": losses[-1],
        "epochs": len(losses),
        "trained_on": len(data.train),
        "held_out": len(data.held_out),
        "segments": 0 if data.segments is None else len(data.segments.rows),
        "device": device.type,
        "resumed_at": resumed_at,
        "crops_per_s": round(
            sum(line["crops"] for line in training.history[resumed_at:])
            / max(time.monotonic() - began, 1e-9),
            1,
        ),
    }


def _begin(job: Job, shape: ModelSpec, device: torch.device) -> Training:
    torch.manual_seed(seed_of(job, 0))
    weights = next((job.source(name) for name in job.step.files), None)
    model = SedModel(shape, pretrained=job.config["pretrained"], weights=weights)
    if job.step.inputs.get("start"):
        earlier, learnt = load_model(job.input("start").folder)
        alike = learnt.classes == shape.classes and learnt.embedding == shape.embedding
        if alike and job.config["init_weights"] == "all":
            model.load_state_dict(earlier.state_dict())
        else:  # of other birds only the ear is of use (2nd place 2025)
            model.backbone.load_state_dict(earlier.backbone.state_dict())
    place_model(model, device)
    average = ema(model, job.config["ema"]) if job.config["ema"] else None
    optimizer = AdamW(
        model.parameters(),
        lr=job.config["learning_rate"],
        weight_decay=job.config["weight_decay"],
    )
    return Training(model, average, optimizer, job.step.key)


def _write(
    job: Job, training: Training, data: TrainingSet, reads: InputSpec, shape: ModelSpec
) -> None:
    save_model(job.folder, training.judged, shape)
    save_input(job.folder, reads)
    lines = "".join(json.dumps(line) + "\n" for line in training.history)
    (job.folder / "history.jsonl").write_text(lines, encoding="utf-8")
    names = (data.clips.names[r] for r in data.train.tolist())
    learnt = [name for name in names if not is_soundscape(name)]
    recordings = read_recordings(job.input("catalog"))
    credits = attribution(recordings, learnt, job.inputs("start"), _outside_teachers(job))
    write_attribution(job.folder / ATTRIBUTION, credits)
    if data.heard is not None:
        return
    probabilities = held_out_probabilities(training.judged, data, reads)
    pd.DataFrame(
        {
            "recording": [data.clips.names[r] for r in data.held_out.tolist()],
            "targets": list(data.labels[data.held_out].numpy()),
            "probabilities": list(probabilities),
        }
    ).to_parquet(job.folder / "held_out.parquet", index=False)


def _outside_teachers(job: Job) -> list[Credit]:
    heard = files_of(job, "heard.parquet", "heard", "heard_soundscapes")
    labels = files_of(job, "labels.parquet", "labels", "clip_labels")
    credits = [read_teacher_info(path).credit for path in heard] + [
        outside_credit(p) for p in labels
    ]
    return list(dict.fromkeys(credit for credit in credits if credit is not None))


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a published model's history."""
    text = (folder / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
