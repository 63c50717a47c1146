"""Maps of nets that give none by themselves: layout, positions, padding, and their weights."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from birdcore.models.backbone import build_backbone, built_frames
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model
from birdcore.models.timm_maps import Fit, fit

BINS, FRAMES = 96, 205
SIZE = (BINS, FRAMES)

KINDS = {
    "test_vit": (16, True),  # a class token, positions
    "test_vit2": (16, True),  # register tokens, positions that timm resizes in each pass
    "test_vit_relpos": (16, True),  # no class token
    "test_maxvit": (32, True),  # windows that must divide the map
    "test_mambaout": (32, False),  # channels last
    "test_convnext2": (32, False),  # drops what is left over
    "efficientvit_b0": (32, False),  # can't do without pooling
}
"""Bins and frames of a map's cell, and whether the net is built for one size."""


@pytest.fixture(scope="module")
def models() -> dict[str, SedModel]:
    """Models of every kind, in eval mode."""
    torch.manual_seed(0)
    return {name: SedModel(spec_of(name)).eval() for name in KINDS}


def spec_of(name: str) -> ModelSpec:
    frames = built_frames(name, 1, SIZE)
    assert frames == FRAMES
    return ModelSpec(backbone=name, classes=("crow", "wren"), n_mels=BINS, frames=frames)


@pytest.mark.parametrize("name", KINDS)
def test_maps_keep_bins_and_frames_where_they_are(name: str, models: dict[str, SedModel]) -> None:
    stride, _ = KINDS[name]
    backbone = models[name].backbone
    torch.manual_seed(1)
    quiet = torch.randn(1, 1, *SIZE)
    late, high = quiet.clone(), quiet.clone()
    late[..., -2 * stride :] = torch.randn(2 * stride)
    high[:, :, -stride:] = torch.randn(FRAMES)
    with torch.no_grad():
        before = backbone(quiet)
        of_late, of_high = ((backbone(x) - before).square().mean(dim=(0, 1)) for x in (late, high))
    rows, columns = BINS // stride, -(-FRAMES // stride)
    assert before.shape == (1, fit(name, 1, SIZE).width, rows, columns)  # type: ignore[union-attr]
    by_frame, by_bin = of_late.sum(dim=0), of_high.sum(dim=1)
    assert by_frame[-2:].mean() > 1.5 * by_frame[: columns // 2].mean()
    assert by_bin[-1] > 1.2 * by_bin[0]


@pytest.mark.parametrize("name", KINDS)
def test_all_weights_train(name: str, models: dict[str, SedModel]) -> None:
    model = models[name]
    model(torch.randn(2, 1, *SIZE)).clipwise_logit.square().sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("name", KINDS)
def test_windows_of_another_length(name: str, models: dict[str, SedModel]) -> None:
    longer = torch.randn(1, 1, BINS, 2 * FRAMES)
    if KINDS[name][1]:
        with pytest.raises(ValueError, match="built for inputs of up to"):
            models[name](longer)
        with pytest.raises(ValueError, match=r"windows of 410 frames \(window_s\).*\(crop_s\)"):
            built_frames(name, 1, SIZE, 2 * FRAMES)
        assert built_frames(name, 1, SIZE, FRAMES + 1) == FRAMES  # padded to the same
    else:
        assert models[name](longer).framewise_logit.shape[2] == -(-2 * FRAMES // 32)
        assert built_frames(name, 1, SIZE, 2 * FRAMES) == FRAMES


def test_a_saved_model_is_built_for_its_size(tmp_path: Path, models: dict[str, SedModel]) -> None:
    x = torch.randn(1, 1, *SIZE)
    save_model(tmp_path, models["test_vit"], spec_of("test_vit"))
    assert '"frames": 205' in (tmp_path / "model.json").read_text()
    loaded, _ = load_model(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(x).clipwise, models["test_vit"](x).clipwise)


@pytest.mark.parametrize(
    "name", ["test_resnet", "tf_efficientnet_b0", "fastvit_t8", "inception_v3"]
)
def test_convolutional_nets_stay_as_they_are(name: str) -> None:
    assert built_frames(name, 1, (128, 313), 626) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nest_tiny", "only handles square inputs"), ("hiera_tiny_224", "normalization of features")],
)
def test_nets_without_a_map_of_this_size_are_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.* 128 mel bins and 313 frames .*{reason}"):
        built_frames(name, 1, (128, 313))


def test_fitting_draws_no_random_numbers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit("test_vit3", 2, (64, 128))
    assert torch.rand(1) == expected


def saved_weights(name: str, folder: Path) -> tuple[dict[str, Tensor], Path]:
    """Weights as timm ships them, with positions and norms that are no initial values."""
    torch.manual_seed(5)
    state = timm.create_model(name).state_dict()
    state = {key: value + torch.randn_like(value) / 9 for key, value in state.items()}
    save_file(state, folder / "weights.safetensors")
    return state, folder / "weights.safetensors"


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_mambaout"])
def test_weights_of_a_file_are_adapted(name: str, tmp_path: Path) -> None:
    state, path = saved_weights(name, tmp_path)
    model, _ = build_backbone(name, weights=path, size=SIZE)
    ours = model.state_dict()
    if "pos_embed" in state:
        assert ours["net.pos_embed"].shape[1] - state["pos_embed"].shape[1] == 6 * 13 - 10 * 10
    same = [key for key in ours if torch.equal(ours[key], state.get(key[4:], torch.empty(0)))]
    assert len(same) >= len(ours) - 2  # positions and the first convolution


def test_positions_of_the_same_grid_are_unchanged(tmp_path: Path) -> None:
    state, path = saved_weights("test_vit", tmp_path)
    model, _ = build_backbone("test_vit", weights=path, size=(160, 160), in_channels=3)
    assert torch.equal(model.state_dict()["net.pos_embed"], state["pos_embed"])


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    state, path = saved_weights("test_vit", tmp_path)
    with pytest.raises(ValueError, match=r"weights\.safetensors.*'test_vit4'"):
        build_backbone("test_vit4", weights=path, size=SIZE)
    save_file({**state, "blocks.99.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"blocks\.99\.weight"):
        build_backbone("test_vit", weights=path, size=SIZE)
    del state["blocks.1.attn.qkv.weight"]
    save_file(state, path)
    with pytest.raises(ValueError, match=r"Missing key.*blocks\.1\.attn\.qkv"):
        build_backbone("test_vit", weights=path, size=SIZE)


def test_a_fit_says_what_it_takes() -> None:
    fitted = Fit(64, 16, {}, (96, 208))
    assert [fitted.takes(frames) for frames in (192, 193, 208, 209)] == [False, True, True, False]
