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

import numpy as np
import pandas as pd
import torch
from torch.optim import AdamW
from torch.utils.tensorboard import SummaryWriter

from birdcore.artifact import Facts, Ref, Step
from birdcore.catalog.catalog import read_labels, read_recordings
from birdcore.catalog.folds import EVERYWHERE
from birdcore.files import file_sha256
from birdcore.learn.attribution import FILE as ATTRIBUTION
from birdcore.learn.attribution import attribution
from birdcore.learn.augment import spec_augment
from birdcore.learn.checkpoint import Training, drop_checkpoint, load_checkpoint, save_checkpoint
from birdcore.learn.data import batches, crops_of, epoch_rows, hard_labels, read_segments
from birdcore.learn.ema import ema
from birdcore.learn.loss import bce, focal
from birdcore.learn.mix import TrainingSet, draw_batch
from birdcore.learn.schedule import learning_rate
from birdcore.learn.validate import held_out_auc, held_out_probabilities
from birdcore.mel.recordings import read_mels
from birdcore.model.input import InputSpec, computes_bf16, model_input, pick_device, save_input
from birdcore.model.sed import ModelSpec, SedModel, load_model, place_model, save_model
from birdcore.recipe import Round
from birdcore.store import Job

VERSION = 2

TEACHER_ONLY = {"mix", "mix_share", "match_power"}
ELSEWHERE = {"name", "data", "folds", "backbones", "start", "teacher", "label", "weights"}
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
    files, root = {}, ""
    if one.weights is not None:
        weights = Path(one.weights).absolute()
        files, root = {weights.name: file_sha256(weights)}, str(weights.parent)
    name = f"train {one.name} {backbone} fold {fold}"
    return Step("train", VERSION, name, config, inputs, files, root)


def run(job: Job) -> Facts:
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
        n_mels=data.clips.spec.n_mels,
        **{k: job.config[k] for k in ("frequency_pool", "clip", "drop_path", "dropout")},
    )
    training = _begin(job, shape, device)
    load_checkpoint(job.folder, training)
    resumed_at = training.epoch
    with SummaryWriter(str(job.folder / "tb"), purge_step=training.epoch) as board:
        for epoch in range(training.epoch, job.config["epochs"]):
            _epoch(job, training, data, reads, epoch)
            line = training.history[-1]
            for key in ("loss", "auc", "learning_rate"):
                if line[key] is not None:
                    board.add_scalar(key, line[key], epoch)
            save_checkpoint(job.folder, training)
            auc = "" if line["auc"] is None else f", AUC {line['auc']:.4f}"
            job.progress(epoch + 1, job.config["epochs"], f"loss {line['loss']:.4f}{auc}")
    training.judged.load_state_dict(training.best)
    _write(job, training, data, reads, shape)
    drop_checkpoint(job.folder)
    losses = [line["loss"] for line in training.history]
    return {
        "auc": training.best_auc,
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


def training_set(job: Job, classes: tuple[str, ...], device: torch.device) -> TrainingSet:
    clips = read_mels([m / "mel.parquet" for m in job.inputs("mel")], device)
    recordings = read_recordings(job.input("catalog"))
    folds = pd.read_parquet(job.input("folds") / "folds.parquet").set_index("recording")["fold"]
    # A recording counts where it is usable, labelled, and was not rejected by cleaning.
    fold_of = np.array([folds.get(name, np.nan) for name in clips.names])
    rows = np.flatnonzero(~np.isnan(fold_of))
    labels = torch.zeros(len(clips.names), len(classes))
    labels[rows] = hard_labels(
        [clips.names[r] for r in rows], recordings, classes, job.config["secondary_weight"]
    )
    held = (fold_of[rows] == job.config["fold"]) & (fold_of[rows] != EVERYWHERE)
    train, held_out = torch.from_numpy(rows[~held]), torch.from_numpy(rows[held])
    if not len(train):
        raise ValueError(f"fold {job.config['fold']} leaves no recording to train on")
    soundscapes = job.inputs("soundscapes")
    background = segments = None
    if soundscapes:
        mels = read_mels([m / "mel.parquet" for m in soundscapes], device)
        if job.step.inputs.get("labels"):
            segments = read_segments(
                mels, [a / "labels.parquet" for a in job.inputs("labels")], job.config["crop_s"]
            )
        if job.config["background"]["probability"]:
            background = mels
    return TrainingSet(clips, labels, train, held_out, segments, background)


def _begin(job: Job, shape: ModelSpec, device: torch.device) -> Training:
    torch.manual_seed(_seed(job, 0))
    weights = next((job.source(name) for name in job.step.files), None)
    model = SedModel(shape, pretrained=job.config["pretrained"], weights=weights)
    if job.step.inputs.get("start"):
        earlier, learnt = load_model(job.input("start").folder)
        if learnt.classes == shape.classes:
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
    return Training(model, average, optimizer)


def _epoch(job: Job, training: Training, data: TrainingSet, reads: InputSpec, epoch: int) -> None:
    began = time.monotonic()
    config = job.config
    rng = torch.Generator().manual_seed(_seed(job, epoch + 1))
    # Dropout and drop path draw from torch's own generator, and take no other.
    torch.manual_seed(_seed(job, epoch + 1))
    rows = epoch_rows(data.labels, data.train, config["repeat"], config["min_per_class"], rng)
    plan = list(batches(rows, config["batch"]))
    total = config["epochs"] * len(plan)
    training.model.train()
    losses = []
    for at, batch in enumerate(plan):
        now = epoch * len(plan) + at
        rate = learning_rate(
            now,
            total,
            min(int(config["warmup"] * total), total - 1),
            config["learning_rate"],
            config["final_rate"],
        )
        for group in training.optimizer.param_groups:
            group["lr"] = rate
        losses.append(_step(job, training, data, reads, batch, rng))
    last = epoch + 1 == config["epochs"]
    auc = None
    if len(data.held_out) and (last or (epoch + 1) % config["validate_every"] == 0):
        auc = held_out_auc(training.judged, data, reads)
    if training.best_auc is None or (auc is not None and auc >= training.best_auc):
        # Where nothing has been validated yet, the latest weights are the best known.
        training.best_auc = auc
        training.best = {k: v.clone() for k, v in training.judged.state_dict().items()}
    training.epoch = epoch + 1
    training.history.append(
        {
            "epoch": epoch,
            "loss": float(torch.stack(losses).mean()),
            "auc": auc,
            "learning_rate": rate,
            "crops": sum(map(len, plan)),
            "seconds": round(time.monotonic() - began, 2),
        }
    )


def _step(
    job: Job,
    training: Training,
    data: TrainingSet,
    reads: InputSpec,
    batch: torch.Tensor,
    rng: torch.Generator,
) -> torch.Tensor:
    config, mask_of = job.config, job.config["mask"]
    power, labels, mask = draw_batch(data, batch, crops_of(config, reads.mel), config, rng)
    x = spec_augment(
        model_input(power, reads)[:, 0],
        mask_of["frequency_bins"],
        round(mask_of["time_s"] * reads.mel.frame_rate),
        mask_of["frequency_masks"],
        mask_of["time_masks"],
        rng,
    )[:, None]
    smoothing = config["label_smoothing"]
    targets = labels * (1 - smoothing) + smoothing / 2
    loss_of = {"bce": bce, "focal": focal}[config["loss"]]
    bf16 = config["precision"] == "bf16" and computes_bf16(power.device)
    with torch.autocast(power.device.type, torch.bfloat16, enabled=bf16):
        output = training.model(x.contiguous(memory_format=torch.channels_last))
    loss = loss_of(output, targets, mask, config["framewise_weight"])
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if config["clip_gradient"]:
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), config["clip_gradient"])
    training.optimizer.step()
    if training.average is not None:
        training.average.update_parameters(training.model)
    return loss.detach()


def _write(
    job: Job, training: Training, data: TrainingSet, reads: InputSpec, shape: ModelSpec
) -> None:
    save_model(job.folder, training.judged, shape)
    save_input(job.folder, reads)
    lines = "".join(json.dumps(line) + "\n" for line in training.history)
    (job.folder / "history.jsonl").write_text(lines, encoding="utf-8")
    learnt = [data.clips.names[r] for r in data.train.tolist()]
    recordings = read_recordings(job.input("catalog"))
    attribution(recordings, learnt, job.inputs("start")).to_csv(
        job.folder / ATTRIBUTION, index=False
    )
    probabilities = held_out_probabilities(training.judged, data, reads)
    pd.DataFrame(
        {
            "recording": [data.clips.names[r] for r in data.held_out.tolist()],
            "targets": list(data.labels[data.held_out].numpy()),
            "probabilities": list(probabilities),
        }
    ).to_parquet(job.folder / "held_out.parquet", index=False)


def _seed(job: Job, at: int) -> int:
    """A seed of its own for each model and epoch: neighbours must not draw alike."""
    entropy = [job.config["seed"], job.config["fold"], at]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a published model's history."""
    text = (folder / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
