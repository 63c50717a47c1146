"""Rendering: the template `page.html`, with style and script inlined, filled with variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Template

from birdcore.pages.template import environment


def render(variables: Mapping[str, Any]) -> str:
    """The whole page; everything from data is escaped."""
    return template("page.html").render(variables)


def template(name: str) -> Template:
    """A template of this folder."""
    return environment(Path(__file__).parent, auc, short).get_template(name)


def auc(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def short(recording: str) -> str:
    """A recording's name without its first folder, which is that of its subset."""
    return recording.partition("/")[2] or recording
