import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from birdcore.models.head import HEADS
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model

SPEC = ModelSpec(backbone="mobilenetv3_small_050", classes=("crow", "wren", "tit"), n_mels=64)


@pytest.fixture
def model() -> SedModel:
    torch.manual_seed(0)
    return SedModel(SPEC).eval()


@pytest.fixture
def mels() -> Tensor:
    return torch.randn(2, 1, 64, 192, generator=torch.Generator().manual_seed(3))


def test_keeps_time_and_learns_in_every_weight(mels: Tensor) -> None:
    model = SedModel(SPEC)
    output = model(mels)
    assert output.clipwise.shape == output.clipwise_logit.shape == (2, 3)
    assert output.framewise_logit.shape == (2, 3, 6)
    output.clipwise_logit.square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_frequency_is_pooled_by_mean_or_mean_and_maximum(mels: Tensor) -> None:
    spec = SPEC.model_copy(update={"frequency_pool": "mean+max"})
    model = SedModel(spec).eval()
    with torch.no_grad():
        features = model.backbone(mels)
        expected = model.head(features.mean(dim=2) + features.amax(dim=2))
        torch.testing.assert_close(model(mels), expected)


def test_the_frequency_channel_tells_each_cell_its_bin(mels: Tensor, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"frequency_channel": True})
    model = SedModel(spec).eval()
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        output = model(mels)
    assert torch.equal(seen[0][:, :1], mels)
    bins = torch.linspace(-1, 1, spec.n_mels)
    assert (seen[0][:, 1] == bins[:, None]).all()
    save_model(tmp_path, model, spec)
    again, known = load_model(tmp_path)
    assert known == spec
    with torch.no_grad():
        torch.testing.assert_close(again(mels), output)


def test_a_model_reads_as_many_channels_as_it_says(mels: Tensor, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"input_channels": 2, "frequency_channel": True})
    model = SedModel(spec).eval()
    both = torch.cat([mels, mels.flip(2)], dim=1)
    save_model(tmp_path, model, spec)
    again, known = load_model(tmp_path)
    assert known == spec
    with torch.no_grad():
        torch.testing.assert_close(again(both), model(both))
    with pytest.raises(ValueError, match=r"reads \(B, 2, 64, T\), not \(2, 1, 64, 192\)"):
        model(mels)


def test_the_file_of_a_model_of_one_channel_is_as_before(model: SedModel, tmp_path: Path) -> None:
    save_model(tmp_path, model, SPEC)
    assert "input_channels" not in json.loads((tmp_path / "model.json").read_text())
    assert load_model(tmp_path)[1] == SPEC


def test_the_seed_fixes_the_initial_weights(model: SedModel) -> None:
    torch.manual_seed(0)
    again = SedModel(SPEC).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    torch.manual_seed(1)
    other = SedModel(SPEC).head.att.weight
    assert not torch.equal(other, again["head.att.weight"])


def test_the_backbone_runs_in_bfloat16_and_the_head_does_not(model: SedModel, mels: Tensor) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.backbone(mels).dtype == torch.bfloat16
        output = model(mels)
    assert all(part.dtype == torch.float32 for part in output[:3])


@pytest.mark.parametrize("shape", [(2, 64, 192), (2, 3, 64, 192), (2, 1, 128, 192)])
def test_another_input_is_refused(model: SedModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"reads \(B, 1, 64, T\)"):
        model(torch.zeros(shape))


@pytest.mark.parametrize("head", [name for name in HEADS if name != "attention"])
def test_a_folder_gives_a_model_of_each_head_back(tmp_path: Path, mels: Tensor, head: str) -> None:
    shape = SPEC.model_dump() | {"head": head, "backbone": "test_resnet", "head_sharpness": 2.0}
    spec = ModelSpec.model_validate(shape)
    model = SedModel(spec).eval()
    save_model(tmp_path, model, spec)
    loaded, loaded_spec = load_model(tmp_path)
    assert loaded_spec == spec
    with torch.no_grad():
        torch.testing.assert_close(loaded(mels), model(mels))


@pytest.mark.parametrize("clip", ["probability", "logit"])
def test_a_folder_gives_the_model_back(tmp_path: Path, mels: Tensor, clip: str) -> None:
    spec = SPEC.model_copy(update={"backbone": "regnetx_002", "clip": clip, "drop_path": 0.1})
    model = SedModel(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert not all(value.is_contiguous() for value in model.state_dict().values())
    model(mels)  # moves the batch-norm statistics
    save_model(tmp_path / "made", model, spec)
    state = torch.get_rng_state()
    loaded, loaded_spec = load_model(tmp_path / "made")
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded_spec == spec
    assert not loaded.training
    with torch.no_grad():
        torch.testing.assert_close(loaded(mels), model.eval()(mels))


def test_a_damaged_folder_is_named(tmp_path: Path, model: SedModel) -> None:
    with pytest.raises(ValueError, match=r"no model\.json"):
        load_model(tmp_path)
    save_model(tmp_path, model, SPEC)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold"):
        load_model(tmp_path)
    weights.write_bytes(whole)
    described = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**described, "classes": ["crow"]}))
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**described, "bins": 3}))
    with pytest.raises(ValueError, match="bins"):
        load_model(tmp_path)


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="named twice: wren"):
        ModelSpec(backbone="resnet18", classes=("wren", "crow", "wren"), n_mels=64)


def test_exports_to_a_plain_graph(model: SedModel, mels: Tensor) -> None:
    with torch.no_grad():
        program = torch.export.export(model, (mels,))
        torch.testing.assert_close(program.module()(mels), model(mels))
    targets = [str(node.target) for node in program.graph.nodes]
    assert not any("autocast" in target.lower() for target in targets)
