"""One epoch of the one loop: draw batches, step the weights, validate, write a line of history."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from birdcore.models.head import SedOutput
from birdcore.models.input import InputSpec, computes_bf16, model_input
from birdcore.store.store import Job
from birdcore.training.augment import spec_augment
from birdcore.training.batch import Batch, draw_batch
from birdcore.training.checkpoint import Training, keep_best
from birdcore.training.data import Crops, batches, crops_of, epoch_rows, overlapping
from birdcore.training.loss import Loss, clip_and_frames, loss_of, smoothed
from birdcore.training.ranking import rarity_weights
from birdcore.training.schedule import learning_rate
from birdcore.training.training_set import TrainingSet
from birdcore.training.validate import held_out_auc


def run_epoch(
    job: Job, training: Training, data: TrainingSet, reads: InputSpec, epoch: int
) -> None:
    """One pass: steps at the schedule's rates, validation where it is due, a line of history."""
    began = time.monotonic()
    config = job.config
    rng = torch.Generator().manual_seed(seed_of(job, epoch + 1))
    noise = noise_generator(data.clips.device, rng, seed_of(job, epoch + 1, "noise"))
    # Dropout and drop path draw from torch's own generator, and take no other.
    torch.manual_seed(seed_of(job, epoch + 1))
    crops = crops_of(config, reads.mel)
    plan = _plan(data, config, crops, rng)
    cycle = (config["restart_every"] or config["epochs"]) * len(plan)
    rare = config["loss_settings"]["by_rarity"]
    class_weights = rarity_weights(data.labels[data.train]) if rare else None
    loss = loss_of(config["loss"], config["loss_settings"], class_weights)
    training.model.train()
    losses = []
    for at, (rows, offsets) in enumerate(plan):
        now = epoch * len(plan) + at
        rate = learning_rate(
            now % cycle,
            cycle,
            min(int(config["warmup"] * cycle), cycle - 1),
            config["learning_rate"],
            config["min_lr"],
        )
        for group in training.optimizer.param_groups:
            group["lr"] = rate
        drawn = draw_batch(data, rows, crops, config, rng, offsets, noise)
        losses.append(_step(job, training, drawn, reads, loss, noise))
    last = epoch + 1 == config["epochs"]
    auc = None
    judged = config["objective"] == "labels" and len(data.held_out)
    if judged and (last or (epoch + 1) % config["validate_every"] == 0):
        auc = held_out_auc(training.judged, data, reads)
    training.epoch = epoch + 1
    keep_best(training, auc, config["average_top_k"])
    training.history.append(
        {
            "epoch": epoch,
            "loss": float(torch.stack(losses).mean()),
            "auc": auc,
            "learning_rate": rate,
            "crops": sum(len(rows) for rows, _ in plan),
            "seconds": round(time.monotonic() - began, 2),
        }
    )


def _plan(
    data: TrainingSet, config: Mapping[str, Any], crops: Crops, rng: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """The epoch's batches: recordings and, where crops are not drawn at random, first frames."""
    rows = epoch_rows(
        data.labels,
        data.train,
        config["repeat"],
        config["min_per_class"],
        rng,
        by_class=config["sampler"] == "classes",
    )
    if config["crops"] == "random":
        return [(batch, None) for batch in batches(rows, config["batch"])]
    rows, offsets = overlapping(data.clips, rows, crops, rng)
    parts = batches(torch.arange(len(rows)), config["batch"])
    return [(rows[part], offsets[part]) for part in parts]


def _step(
    job: Job,
    training: Training,
    drawn: Batch,
    reads: InputSpec,
    loss: Loss,
    noise: torch.Generator,
) -> torch.Tensor:
    config, mask_of = job.config, job.config["mask"]
    x = spec_augment(
        model_input(drawn.power, reads)[:, 0],
        mask_of["frequency_bins"],
        round(mask_of["time_s"] * reads.mel.frame_rate),
        mask_of["frequency_masks"],
        mask_of["time_masks"],
        noise,
    )[:, None]
    device = drawn.power.device
    bf16 = config["precision"] == "bf16" and computes_bf16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        output = training.model(x.contiguous(memory_format=torch.channels_last))
    value = _loss(loss, output, drawn, config)
    training.optimizer.zero_grad(set_to_none=True)
    value.backward()
    if config["clip_gradient"]:
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), config["clip_gradient"])
    training.optimizer.step()
    if training.average is not None:
        training.average.update_parameters(training.model)
    return value.detach()


def _loss(loss: Loss, output: SedOutput, drawn: Batch, config: Mapping[str, Any]) -> torch.Tensor:
    if config["objective"] == "embeddings":
        assert output.embedding is not None
        return 1 - cosine_similarity(output.embedding.float(), drawn.labels).mean()
    smoothing, on_frames = config["label_smoothing"], config["framewise_weight"]

    def of(labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        targets = smoothed(labels, mask, smoothing, config["loss"])
        return clip_and_frames(loss, output, targets, mask, on_frames)

    first = of(drawn.labels, drawn.mask)
    if drawn.second is None:
        return first
    return torch.lerp(first, of(drawn.second.labels, drawn.second.mask), drawn.second.share)


def noise_generator(device: torch.device, rng: torch.Generator, seed: int) -> torch.Generator:
    """What draws where the sounds are: of a GPU's own, or the one that draws all else.

    Noise is as large as the batch; drawn on the CPU it would wait for the bus.
    """
    if device.type == "cpu":
        return rng
    return torch.Generator(device).manual_seed(seed)


def seed_of(job: Job, at: int, what: str = "") -> int:
    """A seed of its own for each model and epoch, and for what draws beside others on a device:
    neighbours must not draw alike."""
    entropy = [job.config["seed"], job.config["fold"], at, *what.encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
