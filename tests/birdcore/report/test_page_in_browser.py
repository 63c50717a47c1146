"""The page in a real browser."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.browser import Tab

ROWS = "document.querySelectorAll('#species-table tbody tr').length"
FIRST = "document.querySelector('#species-table tbody tr').cells[0].textContent"
SAID = "document.querySelector('#species output').textContent"


def search(words: str) -> str:
    find = "const box = document.querySelector('#species input');"
    return f"{{ {find} box.value = {words!r}; box.dispatchEvent(new Event('input')); }}"


def press(name: str) -> str:
    heads = "[...document.querySelectorAll('#species-table th button')]"
    return f"{heads}.find((b) => b.textContent === {name!r}).click()"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_without_network(made: Any, tab: Tab, scheme: str) -> None:
    tab.open(made.page / "index.html", scheme=scheme)
    red, *_ = json.loads(
        tab.value(
            "JSON.stringify(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
        )
    )
    assert (red > 127) == (scheme == "light")
    assert tab.trouble == []
    here = made.page.folder.as_uri()
    assert tab.requests[0] == f"{here}/index.html"
    assert [url for url in tab.requests if not url.startswith((here, "data:"))] == []


def test_each_sound_beside_the_page_plays(made: Any, tab: Tab) -> None:
    tab.open(made.page / "index.html")
    durations = tab.durations()
    assert len(durations) == len(list((made.page / "sounds").iterdir()))
    assert min(durations) > 1


def test_species_table_is_searched_and_sorted(make_report: Callable[..., Any], tab: Tab) -> None:
    run = make_report(species=300)
    tab.open(run.page / "index.html")
    assert (tab.value(ROWS), tab.value(SAID)) == (100, "100 of 300")
    tab.value(search("  INV0297x"))
    assert (tab.value(ROWS), tab.value(SAID)) == (0, "0 of 300")
    tab.value(search("warbler inv0287"))
    assert (tab.value(ROWS), tab.value(SAID)) == (1, "1 of 300")
    assert "Invented Warbler inv0287" in tab.value(FIRST)
    tab.value(search(""))
    tab.value("document.querySelector('#species .more').click()")
    assert tab.value(ROWS) == 300
    tab.value(press("recordings"))
    assert "inv" not in tab.value(FIRST)  # of the invented there is none
    tab.value(press("species"))
    assert "inv0000" in tab.value(FIRST)
    tab.value(press("species"))
    assert "swefin" in tab.value(FIRST)
    tab.value(press("AUC"))
    shown = tab.value(
        "[...document.querySelectorAll('#species-table tbody tr')]"
        ".map((row) => row.querySelector('td[data-value] .track') !== null)"
    )
    assert shown == sorted(shown, reverse=True)  # what has no score comes last
    assert len(set(shown)) == 2
    assert tab.trouble == []


@pytest.mark.parametrize("width", [400, 1280])
def test_wide_tables_scroll_in_their_box_and_not_the_page(
    make_report: Callable[..., Any], tab: Tab, width: int
) -> None:
    tab.open(make_report(species=300).page / "index.html", width=width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    if width == 400:
        box = "document.querySelector('#species .box')"
        assert tab.value(f"{box}.scrollWidth > {box}.clientWidth")
