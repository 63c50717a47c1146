"""Names of backbones, against what timm itself says that it has."""

from pathlib import Path

import pytest
import timm
from timm.models import _registry as registry

from birdcore.config import RecipeError, read_recipe
from birdcore.config.backbone_names import (
    _timm_names,
    is_backbone,
    nearest_names,
    refuse_source,
)
from birdcore.inference.backbone_speed import matching
from birdcore.models.backbone import backbone_names, build_backbone


def test_all_of_timms_names_are_found() -> None:
    ours = {name for name in _timm_names() if "." not in name}
    assert set(timm.list_models()) | set(registry._deprecated_models) <= ours
    # Some, since each is looked for in all of timm's files.
    assert all(is_backbone(name) for name in backbone_names()[::20])
    assert all(is_backbone(name) for name in timm.list_pretrained()[::20])


def test_no_name_is_found_that_timm_has_not() -> None:
    # Behind the names of before a file may have other dictionaries.
    others = {name for name in _timm_names() if not timm.is_model(name.partition(".")[0])}
    assert len(others) < 5


@pytest.mark.parametrize("name", ["resnet81", "", "resnet", "Resnet10t", "resnet10t(", "forward"])
def test_other_names_are_none(name: str) -> None:
    assert not is_backbone(name)


@pytest.mark.parametrize("name", ["hf-hub:timm/vit_x", "hf_hub:a/b@c", "Local-Dir:/models/mine"])
def test_a_source_before_a_name_is_refused_with_what_to_set(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'[[round]]\nname = "a"\nbackbones = ["resnet10t", "{name}"]\n')
    with pytest.raises(
        RecipeError, match=r"r\.toml:3: .*backbones\.1 .* not supp.*weights = \"FILE"
    ):
        read_recipe(path)
    for ask in (refuse_source, build_backbone, matching):
        with pytest.raises(ValueError, match=r"not supported: .*weights = \"FILE\""):
            ask(name)


def test_names_without_a_source_are_not_refused_so() -> None:
    for name in (*timm.list_pretrained()[:50], "conv_gru", "of:timm", "hf-hub", "localdir:x"):
        assert refuse_source(name) == name


def test_the_nearest_names_are_near() -> None:
    assert nearest_names("conv_grus")[0] == "conv_gru"
    assert nearest_names("resnet10tt.c3_in1k")[0] == "resnet10t"
    assert nearest_names("§") == []
