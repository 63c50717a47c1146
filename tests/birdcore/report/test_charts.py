import re
from xml.etree import ElementTree

import numpy as np
import pytest

from birdcore.report import charts
from birdcore.report.calibration import calibration

EVIL = "<script>alert(1)</script>"


def numbers(svg: str, pattern: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, svg)]


def test_what_data_says_is_no_markup() -> None:
    svg = charts.heat_map(np.array([[0.5, np.nan], [0.1, 0.9]]), ["a", EVIL], ["A & B", EVIL])
    assert "<script" not in svg
    tree = ElementTree.fromstring(svg)
    texts = {node.text for node in tree.iter() if node.tag == "text"}
    assert texts == {"A & B", EVIL, "a"}


def test_a_heat_maps_darkest_cell_is_the_highest_and_nothing_is_empty() -> None:
    svg = charts.heat_map(np.array([[0.2, np.nan], [0.1, 0.05]]), ["a", "b"], ["A", "B"])
    opacities = numbers(svg, r"fill-opacity:([\d.]+)")
    assert len(opacities) == 3
    assert opacities[0] == 1.0
    assert sorted(opacities, reverse=True) == opacities
    assert svg.count('class="own"') == 2
    ElementTree.fromstring(charts.heat_map(np.zeros((0, 0)), [], []))


def test_values_have_their_place_on_an_axis() -> None:
    axis = charts.axis_around([0.71, 0.93])
    assert (axis.low, axis.high) == (pytest.approx(0.6), 1.0)
    assert axis.at(1.0) == axis.width - 8
    assert axis.at(0.0) == axis.at(0.6) == 8
    svg = charts.interval(axis, 0.8, 0.7, 0.9, 0.75)
    assert numbers(svg, r'class="dot" cx="([\d.]+)') == [axis.at(0.8)]
    assert numbers(svg, r'class="hollow" cx="([\d.]+)') == [axis.at(0.75)]
    assert numbers(svg, r'class="span" x1="([\d.]+)') == [axis.at(0.7)]
    assert "dot" not in charts.interval(axis, None, 0, 0)
    assert ">1</text>" in charts.ticks(axis)
    assert charts.axis_around([]).low == pytest.approx(0.8)


def test_a_sparkline_goes_down_where_values_do() -> None:
    points = re.search(r'points="([^"]+)"', charts.sparkline([3.0, 2.0, 1.0]))
    assert points
    heights = [float(point.split(",")[1]) for point in points[1].split()]
    assert heights == sorted(heights)
    assert charts.sparkline([1.0]) == ""


def test_a_reliability_diagram_has_a_dot_and_a_bar_for_each_bin() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    bins = calibration(rng.random(500) < p, p)
    tree = ElementTree.fromstring(charts.reliability(bins))
    assert len(list(tree.iter("circle"))) == len(bins)
    assert next(t.text for t in tree.iter("title")) == (
        f"0 to 0.1: {bins[0].count} predictions, {bins[0].true:.1%} true"
    )
    ElementTree.fromstring(charts.reliability([]))


def test_arcs_go_from_round_to_round() -> None:
    tree = ElementTree.fromstring(charts.arcs([(0, 1, "start"), (0, 2, "teacher")], 3, 50))
    paths = list(tree.iter("path"))
    assert [path.get("class") for path in paths] == ["start", "teacher"]
    assert [path.get("d", "").split()[-1] for path in paths] == ["75.0", "125.0"]
    assert len(list(tree.iter("circle"))) == 3
