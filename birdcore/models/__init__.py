"""The network: a timm backbone under a head for sound event detection."""

from birdcore.models.backbone import Backbone, build_backbone
from birdcore.models.head import HEADS, AttentionHead, Head, SedOutput
from birdcore.models.input import InputSpec, model_input
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model

__all__ = [
    "HEADS", "AttentionHead", "Backbone", "Head", "InputSpec", "ModelSpec", "SedModel", "SedOutput",
    "build_backbone", "load_model", "model_input", "save_model",
]  # fmt: skip
