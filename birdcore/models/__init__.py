"""The network: a timm backbone under a head for sound event detection."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from birdcore.models.backbone import Backbone, build_backbone
    from birdcore.models.head import HEADS, AttentionHead, Head, SedOutput
    from birdcore.models.input import InputSpec, model_input
    from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model

__all__ = [
    "HEADS",
    "AttentionHead",
    "Backbone",
    "Head",
    "InputSpec",
    "ModelSpec",
    "SedModel",
    "SedOutput",
    "build_backbone",
    "load_model",
    "model_input",
    "save_model",
]

_MODULES = {
    "backbone": ("Backbone", "build_backbone"),
    "head": ("HEADS", "AttentionHead", "Head", "SedOutput"),
    "input": ("InputSpec", "model_input"),
    "sed": ("ModelSpec", "SedModel", "load_model", "save_model"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:  # late, since these modules import torch
            return getattr(import_module(f"birdcore.models.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
