"""`birdflow backbones` as a user gives it."""

import json

import pytest

from birdcore.inference import backbone_speed
from birdcore.inference.backbone_speed import SUGGESTED, BackboneFigures, matching
from flows.cli import main
from tests.flows.test_imports import heavy_imports


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_speed, "MEASURE_S", 0.01)
    monkeypatch.setattr(backbone_speed, "BATCH", 1)


def test_a_pattern_lists_what_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "test_[rv]*", "--most", "2"]) == 0
    printed = capsys.readouterr()
    lines = [line.split() for line in printed.out.splitlines()[2:]]
    assert [line[:5] for line in lines] == [
        ["test_resnet", "96", "0.37", "2.00", "any"],
        ["test_vit", "64", "0.28", "4.00", "as"],
    ]
    assert "6 match, the first 2 are measured (--most): test_resnet, test_vit, " in printed.err


def test_of_what_matches_few_are_measured_and_of_a_name_that_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def figures(name: str, engine: bool) -> BackboneFigures:
        measured.append(name)
        return BackboneFigures(name, reason="not measured in this test")

    monkeypatch.setattr(backbone_speed, "figures_of", figures)
    assert main(["backbones", "resnet10"]) == 0
    printed = capsys.readouterr()
    assert measured == [line.split()[0] for line in printed.out.splitlines()[2:]]
    assert len(measured) == 5 < printed.err.count("resnet10")
    for pattern, count in (("resnet10t", 1), (None, len(SUGGESTED))):
        measured.clear()
        assert main(["backbones", *filter(None, [pattern])]) == 0
        assert len(measured) == count
        assert not capsys.readouterr().err


@pytest.mark.parametrize(("name", "width"), [("test_mambaout", 64), ("conv_gru", 512)])
def test_json_has_the_same(capsys: pytest.CaptureFixture[str], name: str, width: int) -> None:
    assert main(["backbones", name, "--json"]) == 0
    (figures,) = json.loads(capsys.readouterr().out)
    assert (figures["width"], figures["any_window"], figures["engine_speed"]) == (width, True, None)
    assert figures["torch_speed"] > 0


def test_what_does_not_fit_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "convit_tiny"]) == 0
    assert "does not fit: backbone 'convit_tiny' gives no feature map" in capsys.readouterr().out


def test_an_unknown_pattern_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "resnet81"]) == 1
    assert "no backbone matches 'resnet81'; the nearest are resnet" in capsys.readouterr().err


def test_suggested_names_exist() -> None:
    assert matching(None) == SUGGESTED
    assert all(matching(name) == (name,) for name in SUGGESTED)


def test_help_imports_nothing_heavy() -> None:
    assert heavy_imports("backbones", "--help") == set()
