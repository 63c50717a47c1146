"""Arguments and options that several commands share, each declared once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

SELECTION = "What to run"
"""The heading in the help of the options that select steps."""


@dataclass
class Invocation:
    """What the top-level error handler has to know of a command that failed."""

    debug: bool = False


def _remember_debug(context: typer.Context, debug: bool) -> bool:
    context.ensure_object(Invocation).debug = debug
    return debug


RecipePath: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE",
        help="A TOML file, or the name of one of birdflow's own, such as mini.",
        show_default=False,
    ),
]
Data: TypeAlias = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="A BirdCLEF+ folder.", show_default=False)
]
StoreUrl: TypeAlias = Annotated[
    str,
    typer.Option("--store", metavar="URL", help="Artifact store: a folder, or s3://bucket/prefix."),
]
Collection: TypeAlias = Annotated[
    Path, typer.Option("--collection", metavar="DIR", help="Folder of Xeno-canto recordings.")
]
Settings: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        default_factory=list,
        show_default=False,
        help="Overrides a setting of the recipe, such as seed=1 or round.0.epochs=5; repeatable.",
    ),
]
Only: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="STAGE",
        rich_help_panel=SELECTION,
        help="Run the missing steps of this stage and nothing else.",
    ),
]
Until: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="STAGE",
        rich_help_panel=SELECTION,
        help="Run this stage and all that it needs.",
    ),
]
FromStage: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="STAGE",
        rich_help_panel=SELECTION,
        help="Rebuild this stage and all stages that follow it.",
    ),
]
Refresh: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--refresh",
        metavar="STAGE[:SHARD]",
        default_factory=list,
        show_default=False,
        rich_help_panel=SELECTION,
        help="Rebuild these steps, such as mel, mel:0003 or 'train:student'; repeatable.",
    ),
]
Workers: TypeAlias = Annotated[
    int, typer.Option("--workers", min=0, help="Tasks at once; 0 is one per core.")
]
RunName: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run's name or how it begins; the latest by default.",
        show_default=False,
    ),
]
ArtifactName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="ARTIFACT",
        show_default=False,
        help="STAGE/KEY or how it begins, a path into the store, or a file that a run wrote.",
    ),
]
Debug: TypeAlias = Annotated[
    bool, typer.Option("--debug", callback=_remember_debug, help="Show tracebacks.")
]
