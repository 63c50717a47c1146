from typing import Any

import pytest

from birdcore.config import Round
from birdcore.report.round_summary import links, rungs


def settings(**own: Any) -> dict[str, Any]:
    return Round(name="one", backbones=("resnet10t",), **own).model_dump(mode="json")


def test_a_rung_is_the_mean_of_its_models(made: Any) -> None:
    told = {"first": settings(), "second": settings(teacher="first")}
    first, second = rungs(told, made.rounds)
    assert (first.name, first.models, first.trained_on) == ("first", 2, 7)
    assert (first.auc, first.low, first.high) == pytest.approx((0.825, 0.8, 0.85))
    assert first.losses == pytest.approx((0.7, 0.6, 0.5, 0.4))
    assert first.learns == "learns people's labels of the competition's recordings"
    assert second.learns.endswith("and what first says of soundscapes")


def test_it_says_who_teaches_whom() -> None:
    rounds = {
        "birds": settings(data="xeno-canto"),
        "one": settings(start="birds"),
        "two": settings(start="one", teacher="one"),
        "three": settings(teacher="external_teacher"),
    }
    assert links(rounds) == [(0, 1, "start"), (1, 2, "start"), (1, 2, "teacher")]
