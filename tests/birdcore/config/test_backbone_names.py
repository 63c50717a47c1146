"""Names of backbones, against what timm itself says that it has."""

import pytest
import timm
from timm.models import _registry as registry

from birdcore.config.backbone_names import (
    _timm_names,
    is_backbone,
    nearest_names,
)
from birdcore.models.backbone import backbone_names


def test_all_of_timms_names_are_found() -> None:
    ours = {name for name in _timm_names() if "." not in name}
    assert set(timm.list_models()) | set(registry._deprecated_models) <= ours
    assert all(is_backbone(name) for name in backbone_names())
    assert all(is_backbone(name) for name in timm.list_pretrained())


def test_no_name_is_found_that_timm_has_not() -> None:
    # Behind the names of before a file may have other dictionaries.
    others = {name for name in _timm_names() if not timm.is_model(name.partition(".")[0])}
    assert len(others) < 5


@pytest.mark.parametrize("name", ["resnet81", "", "resnet", "Resnet10t", "resnet10t(", "forward"])
def test_other_names_are_none(name: str) -> None:
    assert not is_backbone(name)


def test_the_nearest_names_are_near() -> None:
    assert nearest_names("conv_grus")[0] == "conv_gru"
    assert nearest_names("resnet10tt.c3_in1k")[0] == "resnet10t"
    assert nearest_names("§") == []
