"""The Python surface: what a notebook needs, in one place, with plain types.

`import birdcore` offers these functions, and imports this module when the first of them is used.
Paths are `str` or `Path`; samples and batches are arrays or tensors, as they come. The rooms of
birdcore have all that is behind them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from birdcore.audio.decode import decode
from birdcore.audio.resample import resample
from birdcore.config.training import LossSettings
from birdcore.features.mel import PRESETS, MelSpec
from birdcore.features.spectrogram import mel_energy
from birdcore.inference.predictions import Predictions as Predictions
from birdcore.inference.predictions import write_predictions as write_predictions
from birdcore.inference.trained_model import TrainedModel as TrainedModel
from birdcore.inference.trained_model import as_samples
from birdcore.inference.trained_model import load_model as load_model
from birdcore.models.normalise import Normalisation, normalise, to_db
from birdcore.models.sed import ModelSpec, SedModel
from birdcore.training.augment import draw_mixup, mixup, random_gain, spec_augment
from birdcore.training.loss import LOSSES, Loss, build_loss


def load_recording(path: str | Path, rate: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Mono samples of a sound file of any format that libsndfile or FFmpeg reads.

    Args:
        path: The file.
        rate: Samples a second to resample to; the file's own by default.

    Returns:
        Samples (n,), float32, and their rate, Hz.

    Raises:
        Rejected: The file cannot be decoded; the message says why.
    """
    audio = decode(Path(path))
    if rate is None:
        return audio.samples, audio.rate
    return resample(audio.samples, audio.rate, rate), rate


def mel_spectrogram(
    samples: ArrayLike | Tensor, rate: int, spec: str | MelSpec = "config_128"
) -> Tensor:
    """Mel power of a recording, (n_mels, T), float32, as models are trained on it.

    Samples are resampled to the spec's rate and divided by their peak.

    Args:
        samples: Mono samples (n,).
        rate: Their rate, Hz.
        spec: A preset's name, or the numbers.

    Raises:
        ValueError: There is no such preset, or the samples are not mono.
    """
    if isinstance(spec, str):
        if spec not in PRESETS:
            raise ValueError(f"no mel preset is called {spec!r}: choose {', '.join(PRESETS)}")
        spec = PRESETS[spec]
    mono = resample(as_samples(samples), round(rate * spec.speed), spec.sample_rate)
    peak = float(np.abs(mono).max()) or 1.0
    energy = torch.from_numpy(mel_energy(mono / np.float32(peak), spec))
    return (energy if spec.power == 2 else energy.square()).T.contiguous()


def model_input(
    power: ArrayLike | Tensor, how: Normalisation = "zscore", top_db: float | None = 80.0
) -> Tensor:
    """Mel power (B, n_mels, T) or (n_mels, T) as a model reads it, (B, 1, n_mels, T).

    Args:
        power: See `mel_spectrogram`.
        how: How decibels are normalised, each sample by itself.
        top_db: Decibels below a sample's maximum at which it is cut off; None: nowhere.
    """
    batch = torch.as_tensor(power)
    batch = batch[None] if batch.ndim == 2 else batch
    return normalise(to_db(batch, top_db=top_db), how)[:, None]


def augment(
    power: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    seed: int,
    mixup_probability: float = 0.5,
    gain_db: float = 6.0,
    mask_bins: int = 12,
    mask_frames: int = 24,
) -> tuple[Tensor, Tensor]:
    """A batch with random gains, mixup and masks, in power; each sample drawn independently.

    Args:
        power: (B, n_mels, T).
        labels: (B, K), 0 to 1.
        seed: The same seed draws the same numbers.
        mixup_probability: Share of samples that are mixed with another one of the batch.
        gain_db: Gains are drawn from minus this to this.
        mask_bins: A band of fewer bins than this is set to zero; 0: none.
        mask_frames: A band of fewer frames than this is set to zero; 0: none.

    Returns:
        Power and labels, of the same shapes.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, targets = torch.as_tensor(power), torch.as_tensor(labels)
    batch = random_gain(batch, -gain_db, gain_db, generator)
    weights, partners = draw_mixup(len(batch), generator, probability=mixup_probability, alpha=0.5)
    batch, targets = mixup(batch, targets, weights, partners, "max")
    masks = int(mask_bins > 0), int(mask_frames > 0)
    return spec_augment(batch, mask_bins, mask_frames, *masks, generator), targets


def loss(name: str = "bce", **settings: Any) -> Loss:
    """A loss by its name in a recipe: a function of logits, targets (both (B, K)) and a mask.

    Args:
        name: Such as "bce", "focal", "cross_entropy", "soft_auc".
        settings: Its numbers, by their names in a recipe: gamma, margin, temperature, bce.

    Raises:
        ValueError: There is no such loss.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss is called {name!r}: choose one of {', '.join(LOSSES)}")
    return build_loss(name, LossSettings(**settings))


def build_model(
    backbone: str = "tf_efficientnet_b0",
    classes: tuple[str, ...] | list[str] = ("bird",),
    n_mels: int = 128,
    *,
    pretrained: bool = False,
    **settings: Any,
) -> SedModel:
    """A network with a timm backbone and an attention head, in training mode.

    Args:
        backbone: A convolutional model of timm.
        classes: Names of the classes (K,).
        n_mels: Mel bins of its inputs.
        pretrained: Start the backbone from timm's weights.
        settings: Other fields of `birdcore.models.sed.ModelSpec`, such as `dropout`.
    """
    spec = ModelSpec(backbone=backbone, classes=tuple(classes), n_mels=n_mels, **settings)
    return SedModel(spec, pretrained=pretrained)
