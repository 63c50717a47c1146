"""The page of detections in a real browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from birdcore.detection.page import write_page
from birdcore.detection.table import Species
from tests.birdcore.detection.test_page import EVENTS
from tests.support.browser import Tab

BACKGROUND = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
FOCUS = "document.activeElement.textContent.trim() || document.activeElement.placeholder"


def many(species: int) -> list[Species]:
    return [Species(f"s{n:03d}", f"Genus epithet{n:03d}", f"Bird {n:03d}") for n in range(species)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_without_network(
    detected: Any, shared_data: Path, tab: Tab, scheme: str
) -> None:
    out = detected(EVENTS, root=shared_data / "field" / "recorder-day")
    page = write_page(out)
    tab.open(page, scheme=scheme)
    red, *_ = json.loads(tab.value(f"JSON.stringify({BACKGROUND})"))
    assert (red > 127) == (scheme == "light")
    tab.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.value("[...document.images].forEach((one) => { one.loading = 'eager'; })")
    loaded = """
        Promise.all([...document.images].map((one) => one.decode()))
            .then(() => [...document.images].map((one) => one.naturalWidth))
    """
    said = tab.ask("Runtime.evaluate", expression=loaded, awaitPromise=True, returnByValue=True)
    widths = said["result"]["value"]
    assert len(widths) == 4
    assert min(widths) > 50
    assert tab.trouble == []
    assert [url for url in tab.requests if not url.startswith((out.as_uri(), "data:"))] == []


def test_sounds_of_all_rates_play(detected: Any, tmp_path: Path, tab: Tab) -> None:
    (tmp_path / "recordings").mkdir()
    rates = (8_000, 22_050, 48_000, 96_000, 250_000)
    for rate in rates:
        noise = np.random.default_rng(0).normal(0, 0.1, (5 * rate, 2))
        sf.write(tmp_path / "recordings" / f"{rate}.wav", noise, rate)
    out = detected({f"{rate}.wav": [(2, 3, 0, rate / 1e6)] for rate in rates}, seconds=5.0)
    tab.open(write_page(out))
    assert tab.durations() == pytest.approx([3.0] * 5, abs=0.01)


@pytest.mark.parametrize("width", [400, 1280])
def test_wide_tables_scroll_in_their_box_and_not_the_page(
    detected: Any, tab: Tab, width: int
) -> None:
    names = [f"x_202{n % 10}{n % 12 + 1:02d}01_{n % 24:02d}0000.wav" for n in range(90)]
    events = {name: [(1, 2, n, 0.5), (3, 4, n + 90, 0.4)] for n, name in enumerate(names)}
    tab.open(write_page(detected(events, species=many(180))), width=width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    box = "document.querySelector('#hours .box')"
    assert tab.value(f"{box}.scrollWidth > {box}.clientWidth") == (width == 400)
    tab.value(f"{box}.scrollTo(9999, 9999)")
    # The species and the last lines stay in sight.
    first = "document.querySelector('#hours-table tbody th').getBoundingClientRect().left"
    assert tab.value(f"{first} - {box}.getBoundingClientRect().left") == pytest.approx(1, abs=1)
    foot = "document.querySelector('#hours-table tfoot').getBoundingClientRect().bottom"
    assert tab.value(f"{box}.getBoundingClientRect().bottom - {foot}") < 30


def test_species_are_searched_and_linked(detected: Any, tab: Tab) -> None:
    events = {"a.wav": [(n, n + 1, n, 0.5) for n in range(150)]}
    tab.open(write_page(detected(events, species=many(150))))
    rows = "document.querySelectorAll('#species-table tbody tr').length"
    assert tab.value(rows) == 100
    search = "(box, text) => { box.value = text; box.dispatchEvent(new Event('input')); }"
    tab.value(f"({search})(document.querySelector('#species input'), 'bird 117')")
    assert tab.value(rows) == 1
    tab.value("document.querySelector('#species-table a').click()")
    opened = (
        "[...document.querySelectorAll('#listen details[open] summary')].map((s) => s.innerText)"
    )
    tab.value("new Promise((done) => setTimeout(done, 50))")
    shown = tab.value(opened)
    assert len(shown) == 2  # the first is open from the beginning
    assert shown[1].startswith("Bird 117")
    tab.value(f"({search})(document.querySelector('#listen input'), 'epithet00')")
    hidden = "document.querySelectorAll('#listen details:not([hidden])').length"
    assert tab.value(hidden) == 10
    assert tab.value("document.querySelector('#listen output').textContent") == "10 of 120 shown"
    assert tab.trouble == []


def test_all_is_reached_by_the_keyboard(detected: Any, tab: Tab) -> None:
    page = write_page(detected(EVENTS))
    tab.open(page)
    reached = []
    for _ in range(60):
        tab.press("Tab")
        reached.append(tab.value(f"document.activeElement.tagName + ' ' + ({FOCUS})"))
    assert "A Look and listen" in reached
    assert "INPUT Search species" in reached
    assert "BUTTON scientific name" in reached
    assert "A Eurasian Blackbird" in reached
    assert "SUMMARY The same as a table" in reached
    assert any(name.startswith("SUMMARY Common Chiffchaff") for name in reached)
    assert "A files.csv" in reached
    tab.value("document.querySelector('#days summary').focus()")
    tab.press("Enter")
    assert tab.value("document.querySelector('#days details').open")
    closed = "[...document.querySelectorAll('img:not([alt])')].length"
    assert tab.value(closed) == 0
