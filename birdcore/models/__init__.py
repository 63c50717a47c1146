"""The network: a timm backbone under an attention head for sound event detection."""

from birdcore.models.backbone import build_backbone
from birdcore.models.head import AttBlockV2, SedOutput
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model

__all__ = [
    "AttBlockV2",
    "ModelSpec",
    "SedModel",
    "SedOutput",
    "build_backbone",
    "load_model",
    "save_model",
]
