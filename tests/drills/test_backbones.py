"""Backbones of the card, of winners and of each other kind: they train, and export what they are.

Takes some seconds each, most of them the exporter's. The largest (maxvit_base_tf_512, 120 million
weights) is left out; it has the layers of maxvit_tiny_tf_512.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from birdcore.features.mel import PRESETS
from birdcore.inference.onnx import compare, export_onnx
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.models.backbone import built_frames
from birdcore.models.input import InputSpec, save_input
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model

MEL = PRESETS["config_128"]
FRAMES = MEL.fixed_length(5.0)
NAMES = (
    "conv_gru", "transformer_1d",
    "tf_efficientnet_b0", "tf_efficientnetv2_b3.in21k", "eca_nfnet_l0", "regnety_008",
    "swinv2_tiny_window16_256", "maxvit_tiny_tf_512", "convnextv2_atto", "vit_tiny_patch16_224",
    "vit_small_patch16_dinov3", "eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224",
    "efficientvit_b0", "efficientvit_m0", "mambaout_femto", "hgnetv2_b0", "mobilenetv3_small_100",
    "mobilenetv4_conv_small", "fastvit_t8",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_trains_and_exports(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    frames = built_frames(name, 1, (MEL.bins, FRAMES))
    spec = ModelSpec(backbone=name, classes=("a", "b", "c"), n_mels=MEL.bins, frames=frames)
    model = SedModel(spec)
    maps: list[Tensor] = []
    model.backbone.register_forward_hook(lambda _, given, out: maps.append(out))
    model(torch.randn(2, 1, MEL.bins, FRAMES)).clipwise_logit.square().sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []
    (features,) = maps
    assert features.shape[2] < features.shape[3]
    input_spec = InputSpec(
        mel=MEL, scale=MEL.scale("uint8"), frames=FRAMES, normalise="zscore", top_db=80.0
    )
    save_model(tmp_path, model, spec)
    save_input(tmp_path, input_spec)
    export_onnx(load_model(tmp_path)[0], spec, input_spec, tmp_path / ONNX_FILE)
    compare(tmp_path, torch.randn(3, 1, MEL.bins, FRAMES), "onnx")
