"""The page of a check: what it shows, in a real browser too, and which files it replaces."""

from pathlib import Path

import pytest

from birdcore.check.facts import Check, ClassFacts, Finding, Form, Groups, UseFacts
from birdcore.check.page import page_path, render, write_page
from birdcore.csv_table import Problem
from tests.support.browser import Tab

BAD = '<script>alert("x")</script>'
CHECK = Check(
    folder="/data/A & B",
    layout="a folder for each class",
    why="recordings lie in folders",
    uses=(UseFacts("labelled clips", 3, 0.5),),
    classes=(
        ClassFacts(BAD, "", "", 2, 0.4, 0, 0, 2),
        ClassFacts("wren", "Wren", "Aves", 1, 0.1, 4, 1, 1),
    ),
    forms=((Form("WAV PCM_16", 44_100, 1), 3),),
    ignored=(Finding("name that is not UTF-8", 5, (Problem("", f"{BAD}.wav", "rename it"),)),),
    imbalances=("a single recording of wren: never validated",),
    groups=Groups(0, 3, 0, ("wren",)),
    recipe='base = "mini"\n',
)


def test_everything_from_data_is_escaped() -> None:
    page = render(CHECK)
    assert BAD not in page
    assert "<title>birdflow check: A &amp; B</title>" in page
    assert "and 4 more" in page
    assert "Wren" in page
    assert "base = &#34;mini&#34;" in page


def test_a_folder_that_cant_be_used_says_why() -> None:
    page = render(Check("/data/x", "BirdCLEF+", "", refused="train.csv is missing"))
    assert "can't be trained on as it is.</strong> train.csv is missing" in page
    assert "Starter recipe" not in page


def test_where_it_goes(tmp_path: Path) -> None:
    assert page_path(tmp_path / "new") == tmp_path / "new" / "index.html"
    assert page_path(tmp_path / "a.html") == tmp_path / "a.html"
    write_page(CHECK, tmp_path / "a.html")
    assert page_path(tmp_path / "a.html") == tmp_path / "a.html"
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ValueError, match="no page of a check"):
        page_path(tmp_path)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_it_opens_without_a_complaint(tmp_path: Path, tab: Tab, scheme: str, width: int) -> None:
    write_page(CHECK, tmp_path / "a.html")
    tab.open(tmp_path / "a.html", scheme=scheme, width=width)
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    assert tab.value("document.querySelectorAll('#classes tbody tr').length") == 2
    tab.value("document.querySelectorAll('#classes th button')[2].click()")
    assert tab.value("document.querySelector('#classes tbody td').textContent") == BAD
    assert tab.trouble == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
