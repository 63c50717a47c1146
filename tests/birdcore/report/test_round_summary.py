from typing import Any

import pytest

from birdcore.config import Round
from birdcore.report.round_summary import links, round_summaries


def settings(name: str, **own: Any) -> Round:
    return Round(name=name, backbones=("resnet10t",), **own)


def test_round_summary_averages_its_models(made: Any) -> None:
    rounds = [settings("first"), settings("second", teacher="first")]
    first, second = round_summaries(rounds, made.rounds)
    assert (first.name, first.models, first.trained_on) == ("first", 2, 7)
    assert (first.auc, first.low, first.high) == pytest.approx((0.825, 0.8, 0.85))
    assert first.losses == pytest.approx((0.7, 0.6, 0.5, 0.4))
    assert first.description == "trained on the labels of the competition's recordings"
    assert second.description.endswith("and pseudo-labels by first of soundscapes")


def test_links_name_initialisation_and_teachers() -> None:
    rounds = [
        settings("birds", data="xeno-canto"),
        settings("one", init_from="birds"),
        settings("two", init_from="one", teacher="one"),
        settings("three", teacher="external_teacher"),
    ]
    assert links(rounds) == [(0, 1, "start"), (1, 2, "start"), (1, 2, "teacher")]
