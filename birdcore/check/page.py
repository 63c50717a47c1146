"""A check as a page of HTML in one file, for people who show it to others."""

from pathlib import Path

from birdcore.check.facts import Check
from birdcore.pages.template import environment
from birdcore.store.files import write_text

INDEX = "index.html"
OURS = "<title>birdflow check:"
"""Stands in each page, so that no other file is replaced."""


def page_path(to: Path) -> Path:
    """The file that is meant: `to` itself where it is named .html, else index.html in it.

    Raises:
        ValueError: There is a file of that name that is no page of a check.
    """
    path = to if to.suffix.lower() in (".html", ".htm") and not to.is_dir() else to / INDEX
    if path.exists() and OURS not in path.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{path} is no page of a check, and would be replaced: move it away")
    return path


def write_page(check: Check, path: Path) -> None:
    """Write the page of a check, in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render(check))


def render(check: Check) -> str:
    """The whole page; everything from data is escaped."""
    template = environment(Path(__file__).parent, kilohertz).get_template("page.html")
    most = max((each.recordings for each in check.classes), default=1)
    return template.render(
        check=check,
        name=Path(check.folder).absolute().name,
        most=max(most, 1),
        found=(
            ("Damaged files", "These can't be read, or not in full.", check.damaged),
            (
                "Copies and leaks",
                "The same recording more than once: a leak where it is used or labelled otherwise.",
                check.copies,
            ),
            ("Ignored", "What does not fit, and is passed over by a run.", check.ignored),
        ),
    )


def kilohertz(rate: int) -> str:
    return f"{rate / 1000:g} kHz"
