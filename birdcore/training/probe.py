"""The training of a probe: minutes on a CPU, since embeddings are computed once and kept.

Letters in names: B crops, T windows in a crop, D width, K classes, S windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor
from torch.optim import AdamW

from birdcore.config.probe import ProbeConfig
from birdcore.inference.probe_predictions import probe_predictions
from birdcore.inference.spans import span_name
from birdcore.inference.teacher_predictions import recording_probabilities
from birdcore.models.probe import Probe, ProbeSpec
from birdcore.store.artifact import Progress
from birdcore.training.data import batches, epoch_rows
from birdcore.training.epoch import derive_seed
from birdcore.training.logistic import fit_logistic
from birdcore.training.loss import bce, clip_and_frames, smoothed
from birdcore.training.optimisation import ema, learning_rate
from birdcore.training.probe_set import ProbeSet
from birdcore.training.validate import known_auc

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the teacher's logits in a mean with the probe's own, to choose from."""
USUAL_SHARE = 0.5
"""Where nothing that is held out can be scored."""
LEAST_DEVIATION = 1e-3
"""Of a number of the embedding that is scaled to 1: some are constant."""


@dataclass(frozen=True)
class TrainedProbe:
    """A probe, what it predicts for held-out recordings, and its epochs.

    Attributes:
        probe: The probe.
        held_out: As `birdcore.training.validate.held_out_table` of other models.
        auc: Macro ROC-AUC on these; None where no class can be scored.
        history: A row for each epoch.
    """

    probe: Probe
    held_out: pd.DataFrame
    auc: float | None
    history: tuple[Mapping[str, Any], ...]


def train_probe(
    data: ProbeSet, classes: tuple[str, ...], config: ProbeConfig, progress: Progress
) -> TrainedProbe:
    """Train one probe of K classes, choose the weight of the teacher's logits, and validate it."""
    torch.manual_seed(derive_seed(config.seed, config.fold, 0))
    settings = config.probe
    probe = Probe(
        ProbeSpec(
            classes=classes,
            width=data.predictions.outputs.embeddings.shape[1],
            hidden=settings.hidden,
            pool=settings.pool,
            dropout=config.dropout,
            prior=1.0 if settings.prior == "residual" else 0.0,
        )
    )
    probe.known[:, 0] = torch.from_numpy(data.predictions.columns >= 0)
    _standardise(probe, data)
    if settings.solver == "logistic":
        history = _solve(probe, data, config)
    else:
        history = _descend(probe, data, config, progress)
    probe.eval().requires_grad_(False)
    if settings.prior == "added":
        share = settings.prior_share
        probe = _with_best_prior(probe, data) if share == "held-out" else probe.with_prior(share)
    table = held_out_table(probe, data)
    return TrainedProbe(probe, table, held_out_auc(table), tuple(history))


def held_out_table(probe: Probe, data: ProbeSet) -> pd.DataFrame:
    """A row for each held-out clip and segment: recording, targets (K,) and probabilities (K,).

    A clip has the maximum over its windows; a segment the mean of those that overlap it, as rows of
    soundscapes have. Targets that are not known are NaN.
    """
    clips, segments = data.held_out, data.segments
    whole = replace(data.predictions, outputs=data.predictions.outputs.only(clips))
    of_clips = torch.from_numpy(recording_probabilities(probe_predictions([probe], whole)))
    rows, row = segments.rows.unique(return_inverse=True)
    parts = replace(data.predictions, outputs=data.predictions.outputs.only(rows))
    of_segments = probe_predictions([probe], parts).outputs.probability(
        row, segments.start_s, segments.end_s - segments.start_s
    )
    names = [data.names[row] for row in clips.tolist()]
    spans = zip(*(each.tolist() for each in segments[:3]), strict=True)
    names += [span_name(data.names[row], start, end) for row, start, end in spans]
    return pd.DataFrame(
        {
            "recording": names,
            "targets": list(torch.cat([data.clip_labels[clips], segments.labels]).numpy()),
            "probabilities": list(torch.cat([of_clips, of_segments]).numpy()),
        }
    )


def held_out_auc(table: pd.DataFrame) -> float | None:
    """Macro ROC-AUC over the classes that can be scored, each on what is known of it."""
    if not len(table):
        return None
    targets, predicted = (np.stack(table[name].to_list()) for name in ("targets", "probabilities"))
    return known_auc(targets >= 1, predicted, ~np.isnan(targets))


def _with_best_prior(probe: Probe, data: ProbeSet) -> Probe:
    """The probe with the share of the teacher's logits at which held-out AUC is best; of equal
    ones the first."""
    probes = [probe.with_prior(share) for share in SHARES]
    aucs = [held_out_auc(held_out_table(each, data)) for each in probes]
    scored = [auc for auc in aucs if auc is not None]
    return probes[aucs.index(max(scored))] if scored else probe.with_prior(USUAL_SHARE)


def _trained_windows(data: ProbeSet) -> Tensor:
    return data.predictions.outputs.windows_of(
        torch.cat([data.clips, data.timed, data.soundscapes])
    )


def _standardise(probe: Probe, data: ProbeSet) -> None:
    """Scale the numbers of embeddings to mean 0 and deviation 1 over all windows that train."""
    embeddings = data.predictions.outputs.embeddings[_trained_windows(data)].float()
    probe.mean.copy_(embeddings.mean(dim=0)[:, None])
    probe.scale.copy_(1 / embeddings.std(dim=0, correction=0).clamp(min=LEAST_DEVIATION)[:, None])


def _solve(probe: Probe, data: ProbeSet, config: ProbeConfig) -> list[dict[str, Any]]:
    """The optimum of a linear probe over all windows that train."""
    windows, prior = _trained_windows(data), data.prior
    outputs = data.predictions.outputs
    of_clip = data.clips.repeat_interleave(outputs.count[data.clips])
    weak, timed = len(of_clip), data.timed.repeat_interleave(outputs.count[data.timed])
    targets, weights = data.labels[windows].float(), data.label_weights[windows]
    targets[:weak], weights[:weak] = data.clip_labels[of_clip], 1.0
    labelled = torch.cat([of_clip, timed])
    weights[: len(labelled)] *= data.weights[labelled, None]
    features = outputs.embeddings[windows].float()
    features = (features - probe.mean.T) * probe.scale.T
    offsets = probe.spec.prior * prior[windows].float() if probe.spec.prior else None
    found = fit_logistic(features, targets, weights, config.weight_decay, offsets)
    with torch.no_grad():
        probe.classifier.weight.copy_(found.weights[:, :, None])
        assert probe.classifier.bias is not None
        probe.classifier.bias.copy_(found.bias)
    return [{"epoch": 0, "loss": found.loss, "auc": None}]


def _descend(
    probe: Probe, data: ProbeSet, config: ProbeConfig, progress: Progress
) -> list[dict[str, Any]]:
    """Epochs of AdamW on crops; the average of the weights where the round has one."""
    optimiser = AdamW(probe.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    averaged = ema(probe, config.ema) if config.ema else None
    history: list[dict[str, Any]] = []
    for epoch in range(config.epochs):
        seed = derive_seed(config.seed, config.fold, epoch + 1)
        rng = Generator().manual_seed(seed)
        torch.manual_seed(seed)  # of dropout, which takes no generator
        plan = _plan(data, config, rng)
        total = config.epochs * len(plan)
        warmup = min(int(config.warmup * total), total - 1)
        losses = []
        probe.train()
        for index, rows in enumerate(plan):
            step = epoch * len(plan) + index
            rate = learning_rate(step, total, warmup, config.learning_rate, config.min_lr)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = _loss(probe, data, rows, config, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if averaged is not None:
                averaged.update_parameters(probe)
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        history.append({"epoch": epoch, "loss": mean, "auc": None, "learning_rate": rate})
        progress(epoch + 1, config.epochs, f"loss {mean:.4f}")
    if averaged is not None:
        probe.load_state_dict(averaged.module.state_dict())
    return history


def _plan(data: ProbeSet, config: ProbeConfig, rng: Generator) -> list[Tensor]:
    """The clips of an epoch's batches; without clips, annotated recordings in their place."""
    rows = data.clips if len(data.clips) else data.timed
    drawn = epoch_rows(
        data.clip_labels, rows, config.repeat, config.min_per_class, rng, weights=data.weights
    )
    return list(batches(drawn, config.batch))


def _loss(
    probe: Probe, data: ProbeSet, rows: Tensor, config: ProbeConfig, rng: Generator
) -> Tensor:
    """Of clips as a whole, and of windows of as many annotated recordings and soundscapes."""
    window_s = data.predictions.outputs.info.window_s
    windows = max(1, round((config.crop_s - window_s) / config.hop_s) + 1)
    total = torch.zeros(())
    if len(data.clips):
        crops = data.crops(rows, windows, rng)
        targets = smoothed(data.clip_labels[rows], None, config.label_smoothing, "bce")
        output = probe(crops.embeddings, crops.prior)
        total = clip_and_frames(bce, output, targets, None, config.framewise_weight)
    settings = config.probe
    for some, weight in (
        (data.timed, settings.annotated),
        (data.soundscapes, settings.soundscapes),
    ):
        if len(some) and weight:
            drawn = some[torch.randint(len(some), (len(rows),), generator=rng)]
            crops = data.crops(drawn, windows, rng)
            frames = probe(crops.embeddings, crops.prior).framewise_logit.transpose(1, 2)
            counts = data.label_weights[crops.windows] / weight
            total = total + weight * bce(frames, data.labels[crops.windows].float(), counts)
    return total
