"""`birdflow backbones`: which there are, and how wide, large and fast each is on this machine."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import Debug
from flows.terminal import doing, err, out

if TYPE_CHECKING:
    from birdcore.inference.backbone_speed import BackboneFigures

MOST = 5
"""Of what matches a pattern; each takes a second or more."""
SHOWN = 40


def backbones(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            help="A name: that one is measured. A part of names, or a pattern such as 'swin*256': "
            "all that match are listed, and the first of them measured (--most). A short list, all "
            "measured, if not given.",
            show_default=False,
        ),
    ] = None,
    *,
    engine: Annotated[
        bool,
        typer.Option("--engine", help="Measure the engine for CPUs too: an export each."),
    ] = False,
    most: Annotated[
        int | None,
        typer.Option(
            "--most",
            metavar="N",
            min=1,
            help=f"Measure no more than N: {MOST} of what matches, if not given.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """List backbones: width, parameters, and times real time on this machine.

    Each is built with random weights and computes windows of 5 s of the front end config_128.
    """
    with doing("loading timm"):
        from birdcore.inference.backbone_speed import figures_of, matching

        names = matching(pattern)
        if most is None:
            most = len(names) if pattern is None else MOST
    if len(names) > most:
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        err.print(f"{len(names)} match, the first {most} are measured (--most): {shown}")
    if not as_json:
        out.print(HEAD)
    measured = []
    for name in names[:most]:
        with doing(f"measuring {name}"):
            figures = figures_of(name, engine)
        measured.append(figures)
        if not as_json:
            out.print(_line(figures))
    if as_json:
        out.print(json.dumps([asdict(figures) for figures in measured], indent=2))


HEAD = (
    f"{'backbone':36} {'width':>6} {'params':>8} {'outputs':>8} {'windows':>8} "
    f"{'torch':>8} {'engine':>8}\n"
    f"{'':36} {'':>6} {'million':>8} {'per s':>8} {'':>8} {'x real':>8} {'x real':>8}"
)


def _line(figures: "BackboneFigures") -> str:
    if figures.reason:
        return f"{figures.name:36} does not fit: {figures.reason}"
    windows = "any" if figures.any_window else "as crops"
    by_engine = "" if figures.engine_speed is None else f"{figures.engine_speed:.0f}"
    return (
        f"{figures.name:36} {figures.width:6} {figures.parameters:8.2f} "
        f"{figures.outputs_per_s:8.2f} {windows:>8} {figures.torch_speed:8.0f} {by_engine:>8}"
    ).rstrip()
