"""1-D backbones: nothing behind them sees that they are no 2-D nets."""

from pathlib import Path

import pytest
import timm
import torch

from birdcore.config.front_end_checks import READ_SAMPLES
from birdcore.config.training import TrainSettings
from birdcore.models.backbone import build_backbone, built_frames
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model
from birdcore.models.sequence import SEQUENCE_MODELS, ConvWave

each = pytest.mark.parametrize("name", SEQUENCE_MODELS)
of_bins = pytest.mark.parametrize("name", sorted(SEQUENCE_MODELS.keys() - set(READ_SAMPLES)))


def spec_of(name: str, **changes: object) -> ModelSpec:
    shape = {"backbone": name, "classes": ("crow", "wren"), "n_mels": 32, **changes}
    return ModelSpec.model_validate(shape)


@each
@pytest.mark.parametrize("frames", [1, 31, 192, 313, 1000])
def test_frames_are_those_of_a_2d_net(name: str, frames: int) -> None:
    channels = 1 if name in READ_SAMPLES else 2
    shape = {"n_mels": 40, "input_channels": channels}
    models = [SedModel(spec_of(each, **shape)).eval() for each in (name, "test_resnet")]
    with torch.no_grad():
        one, other = (model(torch.randn(2, channels, 40, frames)) for model in models)
    assert one.framewise_logit.shape == other.framewise_logit.shape
    assert one.clipwise.shape == (2, 2)


@each
def test_time_is_kept(name: str) -> None:
    """What sounds late changes late frames most."""
    torch.manual_seed(0)
    backbone, _ = build_backbone(name, bins=32)
    silence = torch.zeros(1, 1, 32, 640)
    late = silence.clone()
    late[..., 480:512] = 5.0
    with torch.no_grad():
        change = (backbone.eval()(late) - backbone(silence)).abs().sum(dim=(0, 1, 2))
    assert change.shape == (20,)
    assert change.argmax() in (14, 15, 16)


@of_bins
def test_every_weight_learns_which_bin_sounds(name: str) -> None:
    """Crops of two classes that differ in pitch alone; noise is elsewhere."""
    torch.manual_seed(0)
    model = SedModel(spec_of(name, dropout=0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    targets = torch.eye(2).repeat(6, 1)
    for _ in range(14):
        crops = torch.randn(12, 1, 32, 96)
        crops[targets[:, 0] == 1, :, 8, 30:60] += 4.0
        crops[targets[:, 1] == 1, :, 20, 30:60] += 4.0
        logits = model(crops).clipwise_logit
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 0.3
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@pytest.mark.parametrize("hop", [512, 320, 500, 99, 97, 4, 1])
def test_samples_of_any_hop_give_its_frames(hop: int) -> None:
    backbone, width = build_backbone("conv_wave", bins=hop)
    with torch.no_grad():
        features = backbone.eval()(torch.randn(2, 1, hop, 65))
    assert features.shape == (2, width, 1, 3)


def test_samples_are_read_in_their_order() -> None:
    """A crop as frames is what its samples laid end to end are."""
    backbone, _ = build_backbone("conv_wave", bins=64)
    samples = torch.randn(1, 1, 64 * 40)
    frames = samples.view(1, 1, 40, 64).transpose(2, 3)
    assert isinstance(backbone, ConvWave)
    with torch.no_grad():
        filtered = backbone.eval().filters(samples)
        torch.testing.assert_close(backbone(frames), backbone.sequence(filtered[:, None]))


def test_every_weight_learns_which_tone_sounds() -> None:
    """Crops of two classes that differ in pitch alone, at any phase; noise is elsewhere."""
    torch.manual_seed(0)
    model = SedModel(spec_of("conv_wave", n_mels=64, dropout=0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    targets = torch.eye(2).repeat(6, 1)
    time = torch.arange(64 * 48)
    for _ in range(16):
        phase = 6.3 * torch.rand(12, 1)
        pitch = torch.where(targets[:, :1] == 1, 0.3, 0.8)
        samples = torch.sin(pitch * time + phase) + 0.3 * torch.randn(12, len(time))
        crops = samples.view(12, 1, 48, 64).transpose(2, 3)
        logits = model(crops).clipwise_logit
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 0.3
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@each
def test_bfloat16_is_near_float32(name: str) -> None:
    torch.manual_seed(0)
    model, crops = SedModel(spec_of(name)).eval(), torch.randn(2, 1, 32, 313)
    with torch.no_grad():
        exact = model(crops).clipwise_logit
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(model(crops).clipwise_logit, exact, rtol=0.1, atol=0.1)


@each
def test_a_folder_gives_the_model_back(name: str, tmp_path: Path) -> None:
    spec = ModelSpec.of(TrainSettings(), name, ("crow", "wren"), 32, frames=313, window=626)
    assert spec.frames is None
    model, crops = SedModel(spec).eval(), torch.randn(2, 1, 32, 192)
    save_model(tmp_path, model, spec)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path)[0](crops), model(crops))


@each
def test_its_name_is_no_name_of_timms(name: str) -> None:
    assert not timm.is_model(name)
    assert built_frames(name, 1, (32, 313), 1000) is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pretrained = true: .* no published weights of .*gru"):
        build_backbone("conv_gru", pretrained=True)
    with pytest.raises(ValueError, match="set drop_path = 0"):
        build_backbone("conv_gru", drop_path=0.1)
    with pytest.raises(ValueError, match=r"the nearest are .*conv_gru"):
        build_backbone("conv_grus")
