"""One epoch of training: draw batches, update the weights, validate, add a row to the history.

There is one loop for every round; what a round does differently is in its settings.
"""

import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from birdcore.config.training import TrainConfig, TrainSettings
from birdcore.features.stacked import bins_of_first
from birdcore.models.head import SedOutput
from birdcore.models.input import InputSpec, computes_bf16, model_input
from birdcore.training.augment import spec_augment
from birdcore.training.batch import Batch, make_batch
from birdcore.training.checkpoint import Training, keep_best
from birdcore.training.data import CropSampling, batches, crop_sampling, epoch_rows, overlapping
from birdcore.training.frames import FrameTargets, frames_loss
from birdcore.training.loss import Loss, build_loss, clip_and_frames, smoothed
from birdcore.training.optimisation import learning_rate
from birdcore.training.ranking import rarity_weights
from birdcore.training.training_set import TrainingSet
from birdcore.training.validate import held_out_auc


def run_epoch(
    training: Training,
    data: TrainingSet,
    config: TrainConfig,
    input_spec: InputSpec,
    epoch: int,
) -> None:
    """Train for one epoch, validate where it is due, and add a row to the history.

    Args:
        training: changed in place.
        data: what batches are made of.
        config: the model's settings, fold and seed.
        input_spec: the model's input.
        epoch: counted from 0.
    """
    began = time.monotonic()
    seed = derive_seed(config.seed, config.fold, epoch + 1)
    rng = torch.Generator().manual_seed(seed)
    noise = noise_generator(
        data.clips.device, rng, derive_seed(config.seed, config.fold, epoch + 1, "noise")
    )
    # Dropout and drop path draw from torch's global generator and take no other.
    torch.manual_seed(seed)
    crops = crop_sampling(config, input_spec.mel)
    if config.annotated.frames_weight and data.annotated is not None:
        crops = replace(crops, cells=_outputs(training, input_spec, crops.frames))
    plan = _plan(data, config, crops, rng)
    cycle = (config.restart_every or config.epochs) * len(plan)
    warmup = min(int(config.warmup * cycle), cycle - 1)
    class_weights = None
    if config.loss_settings.by_rarity:
        class_weights = rarity_weights(data.labels[data.train])
    loss = build_loss(config.loss, config.loss_settings, class_weights)
    training.model.train()
    losses = []
    for index, (rows, offsets) in enumerate(plan):
        step = (epoch * len(plan) + index) % cycle
        rate = learning_rate(step, cycle, warmup, config.learning_rate, config.min_lr)
        for group in training.optimizer.param_groups:
            group["lr"] = rate
        batch = make_batch(data, rows, crops, config, rng, offsets, noise)
        losses.append(_train_step(training, batch, config, input_spec, loss, noise))
    last = epoch + 1 == config.epochs
    auc = None
    can_validate = config.objective == "labels" and len(data.held_out)
    if can_validate and (last or (epoch + 1) % config.validate_every == 0):
        auc = held_out_auc(training.evaluated, data, input_spec)
    training.epoch = epoch + 1
    keep_best(training, auc, config.average_top_k)
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
    data: TrainingSet, settings: TrainSettings, crops: CropSampling, rng: torch.Generator
) -> list[tuple[Tensor, Tensor | None]]:
    """The epoch's batches: rows and, where crops are not drawn at random, first frames."""
    rows = epoch_rows(
        data.labels,
        data.train,
        settings.repeat,
        settings.min_per_class,
        rng,
        by_class=settings.sampler == "classes",
        weights=data.weights,
    )
    if settings.crops == "random":
        return [(batch, None) for batch in batches(rows, settings.batch)]
    rows, offsets = _overlapping(data, rows, crops, rng)
    parts = batches(torch.arange(len(rows)), settings.batch)
    return [(rows[part], offsets[part]) for part in parts]


def _overlapping(
    data: TrainingSet, items: Tensor, crops: CropSampling, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Items and first frames of crops that cover them; of an annotated segment it is one crop."""
    if data.annotated is None:
        return overlapping(data.clips, items, crops, rng)
    is_segment, segments = data.segments_of(items)
    rows, offsets = overlapping(data.clips, items[~is_segment], crops, rng)
    rows = torch.cat([rows, items[is_segment]])
    offsets = torch.cat([offsets, data.annotated.draw(segments[is_segment], rng)])
    order = torch.randperm(len(rows), generator=rng)
    return rows[order], offsets[order]


def _train_step(
    training: Training,
    batch: Batch,
    settings: TrainSettings,
    input_spec: InputSpec,
    loss: Loss,
    noise: torch.Generator,
) -> Tensor:
    """One update of the weights; returns the loss."""
    mask = settings.mask
    x = spec_augment(
        model_input(batch.power, input_spec),
        mask.frequency_bins,
        round(mask.time_s * input_spec.mel.frame_rate),
        mask.frequency_masks,
        mask.time_masks,
        noise,
        bins=bins_of_first(input_spec.mel),
    )
    device = batch.power.device
    bf16 = settings.precision == "bf16" and computes_bf16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        output = training.model(x.contiguous(memory_format=torch.channels_last))
    value = _loss(loss, output, batch, settings)
    training.optimizer.zero_grad(set_to_none=True)
    value.backward()
    if settings.clip_gradient:
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), settings.clip_gradient)
    training.optimizer.step()
    if training.average is not None:
        training.average.update_parameters(training.model)
    return value.detach()


def _loss(loss: Loss, output: SedOutput, batch: Batch, settings: TrainSettings) -> Tensor:
    if settings.objective == "embeddings":
        assert output.embedding is not None
        return 1 - cosine_similarity(output.embedding.float(), batch.labels).mean()

    def loss_against(
        labels: Tensor, mask: Tensor | None, frames: FrameTargets | None, voters: Tensor | None
    ) -> Tensor:
        smoothing, offset = settings.label_smoothing, settings.label_offset
        targets = smoothed(labels, mask, smoothing, settings.loss, offset, voters)
        value = clip_and_frames(loss, output, targets, mask, settings.framewise_weight)
        if frames is None:
            return value
        return value + settings.annotated.frames_weight * frames_loss(
            output.framewise_logit, frames
        )

    value = loss_against(batch.labels, batch.mask, batch.frames, batch.voters)
    if batch.mixed is None:
        return value
    share, labels, mask, frames, voters = batch.mixed
    return torch.lerp(value, loss_against(labels, mask, frames, voters), share)


def _outputs(training: Training, input_spec: InputSpec, frames: int) -> int:
    """How many outputs the model has in a crop of so many frames."""
    training.model.eval()
    with torch.inference_mode():
        silence = torch.zeros(1, *input_spec.shape[:2], frames)
        device = next(training.model.parameters()).device
        output: SedOutput = training.model(silence.to(device))
    return output.framewise_logit.shape[-1]


def noise_generator(device: torch.device, rng: torch.Generator, seed: int) -> torch.Generator:
    """The generator for draws as large as a batch: one on the GPU, or `rng` where there is none.

    Drawn on the CPU such noise would have to be copied to the GPU.
    """
    if device.type == "cpu":
        return rng
    return torch.Generator(device).manual_seed(seed)


def derive_seed(seed: int, fold: int, stream: int, purpose: str = "") -> int:
    """An independent seed for each model (seed and fold), epoch (stream) and purpose."""
    entropy = [seed, fold, stream, *purpose.encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
