"""One epoch of the one loop: draw batches, step the weights, validate, write a line of history."""

import time

import numpy as np
import torch

from birdcore.learn.augment import spec_augment
from birdcore.learn.checkpoint import Training
from birdcore.learn.data import batches, crops_of, epoch_rows
from birdcore.learn.loss import Loss, clip_and_frames, loss_of
from birdcore.learn.mix import TrainingSet, draw_batch
from birdcore.learn.ranking import rarity_weights
from birdcore.learn.schedule import learning_rate
from birdcore.learn.validate import held_out_auc
from birdcore.model.input import InputSpec, computes_bf16, model_input
from birdcore.store import Job


def run_epoch(
    job: Job, training: Training, data: TrainingSet, reads: InputSpec, epoch: int
) -> None:
    """One pass: steps at the schedule's rates, validation where it is due, a line of history."""
    began = time.monotonic()
    config = job.config
    rng = torch.Generator().manual_seed(seed_of(job, epoch + 1))
    # Dropout and drop path draw from torch's own generator, and take no other.
    torch.manual_seed(seed_of(job, epoch + 1))
    rows = epoch_rows(data.labels, data.train, config["repeat"], config["min_per_class"], rng)
    plan = list(batches(rows, config["batch"]))
    total = config["epochs"] * len(plan)
    rare = config["loss_settings"]["by_rarity"]
    class_weights = rarity_weights(data.labels[data.train]) if rare else None
    loss = loss_of(config["loss"], config["loss_settings"], class_weights)
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
        losses.append(_step(job, training, data, reads, loss, batch, rng))
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
    loss: Loss,
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
    bf16 = config["precision"] == "bf16" and computes_bf16(power.device)
    with torch.autocast(power.device.type, torch.bfloat16, enabled=bf16):
        output = training.model(x.contiguous(memory_format=torch.channels_last))
    value = clip_and_frames(loss, output, targets, mask, config["framewise_weight"])
    training.optimizer.zero_grad(set_to_none=True)
    value.backward()
    if config["clip_gradient"]:
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), config["clip_gradient"])
    training.optimizer.step()
    if training.average is not None:
        training.average.update_parameters(training.model)
    return value.detach()


def seed_of(job: Job, at: int) -> int:
    """A seed of its own for each model and epoch: neighbours must not draw alike."""
    entropy = [job.config["seed"], job.config["fold"], at]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
