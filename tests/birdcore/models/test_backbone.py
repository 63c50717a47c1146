from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn

from birdcore.models import backbone
from birdcore.models.backbone import build_backbone
from birdcore.models.sed import ModelSpec, SedModel

SMALL = "mobilenetv3_small_050"

WINNERS = {
    # The convolution behind the last stage: Tan and Le 2021 (V2), 2019 (1280 times the width).
    "tf_efficientnetv2_s.in21k": (1280, 192),
    "tf_efficientnetv2_b3.in21k": (1536, 192),
    "tf_efficientnetv2_m.in21k": (1280, 128),
    "tf_efficientnet_b0.ns_jft_in1k": (1280, 224),
    "tf_efficientnet_b3.ns_jft_in1k": (1536, 224),
    "tf_efficientnet_b4.ns_jft_in1k": (1792, 224),
    "eca_nfnet_l0": (2304, 224),  # 1.5 times the 1536 of the last stage
    # The last stage: Radosavovic et al. 2020, appendix; ResNet-50's 2048.
    "regnety_008": (768, 224),
    "regnety_016": (888, 224),
    "seresnext26t_32x4d": (2048, 128),
}
"""Channels of the last map, by the papers, and mel bins that the backbone was used with."""


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("tf_efficientnet_lite0", 1280),
        ("resnet18", 512),
        ("mobilenetv3_small_100", 1024),
    ],
)
def test_gives_the_map_with_frequency_and_time_apart(name: str, channels: int) -> None:
    model, width = build_backbone(name, drop_path=0.1)
    with torch.no_grad():
        features = model.eval()(torch.randn(2, 1, 64, 160))
    assert width == channels
    assert features.shape == (2, channels, 2, 5)
    assert features.isfinite().all()


# In turn, since the largest take a second to build.
@pytest.mark.parametrize(
    ("name", "frequency_channel"), list(zip(WINNERS, cycle([False, True]), strict=False))
)
def test_the_winners_backbones_train_and_predict(name: str, frequency_channel: bool) -> None:
    width, n_mels = WINNERS[name]
    spec = ModelSpec(
        backbone=name,
        classes=("crow", "wren", "tit"),
        n_mels=n_mels,
        frequency_channel=frequency_channel,
        drop_path=0.15,
    )
    model = SedModel(spec)
    maps: list[Tensor] = []
    model.backbone.register_forward_hook(lambda _, given, out: maps.append(out))
    output = model(torch.randn(2, 1, n_mels, 75))
    output.clipwise_logit.square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    with torch.no_grad():
        predicted = model.eval()(torch.randn(1, 1, n_mels, 75))
    assert maps[0].shape == (2, width, n_mels // 32, 3)
    assert model.head.cla.in_channels == width
    assert output.clipwise.shape == (2, 3)
    assert output.framewise_logit.shape == (2, 3, 3)
    assert output.clipwise_logit.isfinite().all()
    assert predicted.framewise_logit.shape == (1, 3, 3)
    assert predicted.framewise_logit.isfinite().all()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet81", "resnet18"), ("resnet18.a9_in1k", "resnet18.a1_in1k"), ("tf_lite0", "lite0")],
)
def test_an_unknown_name_gets_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=nearest):
        build_backbone(name)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mambaout_femto", "efficientvit_b0"])
def test_tokens_and_channels_last_need_a_size(name: str) -> None:
    with pytest.raises(ValueError, match=r"no feature map .* of any size .*choose another"):
        build_backbone(name)


def test_drop_path_is_refused_where_it_has_no_effect() -> None:
    with pytest.raises(ValueError, match="set drop_path = 0"):
        build_backbone("densenet121", drop_path=0.1)


def test_no_weights_in_the_cache_names_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r'pretrained = true needs.*weights = "FILE".*= false'):
        build_backbone(SMALL, pretrained=True)


def test_an_unreachable_hub_leaves_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(backbone, "get_session", unreachable)
    with backbone._offline_when_unreachable():
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()


def _save_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def _save_pth(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"state_dict": state}, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture(scope="module")
def colour_model() -> nn.Module:
    """A model as timm ships it: three channels and a classifier."""
    model: nn.Module = timm.create_model(SMALL)
    return model.eval()


@pytest.mark.parametrize("save", [_save_safetensors, _save_pth])
def test_weights_of_a_file_are_adapted_to_one_channel(
    tmp_path: Path, colour_model: nn.Module, save: Callable[[dict[str, Tensor], Path], Path]
) -> None:
    file = save(colour_model.state_dict(), tmp_path)
    model, _ = build_backbone(SMALL, pretrained=True, weights=file)
    grey = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        colour_model.reset_classifier(0, "")  # type: ignore[operator]
        expected = colour_model(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model.eval()(grey), expected, rtol=1e-4, atol=1e-5)


def test_wrong_weights_are_refused_by_name(tmp_path: Path, colour_model: nn.Module) -> None:
    state = colour_model.state_dict()
    with pytest.raises(ValueError, match="no such file"):
        build_backbone(SMALL, weights=tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(ValueError, match=r"text\.pth.*not a readable"):
        build_backbone(SMALL, weights=tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(ValueError, match=r"text\.safetensors.*not a readable"):
        build_backbone(SMALL, weights=tmp_path / "text.safetensors")
    file = _save_safetensors(state, tmp_path)
    with pytest.raises(ValueError, match=r"weights\.safetensors.*'mobilenetv3_small_075'"):
        build_backbone("mobilenetv3_small_075", weights=file)
    file = _save_safetensors({**state, "blocks.9.weight": torch.zeros(1)}, tmp_path)
    with pytest.raises(ValueError, match=r"blocks\.9\.weight"):
        build_backbone(SMALL, weights=file)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth"):
        build_backbone(SMALL, weights=tmp_path / "list.pth")
