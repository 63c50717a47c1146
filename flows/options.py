"""Arguments and options that several commands share, each declared once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

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


def _argument(metavar: str, help: str) -> Any:
    return typer.Argument(metavar=metavar, help=help, show_default=False)


def _several(flag: str, metavar: str, help: str, panel: str | None = None) -> Any:
    """An option that may be given many times."""
    return typer.Option(
        flag,
        metavar=metavar,
        help=f"{help}; repeatable.",
        default_factory=list,
        show_default=False,
        rich_help_panel=panel,
    )


def _stage(flag: str, help: str) -> Any:
    """An option that selects steps by a stage."""
    return typer.Option(flag, metavar="STAGE", help=help, rich_help_panel=SELECTION)


RecipePath: TypeAlias = Annotated[
    Path,
    _argument("RECIPE", "A TOML file, or the name of one of birdflow's own, such as mini."),
]
Data: TypeAlias = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="A BirdCLEF+ folder.", show_default=False)
]
StoreUrl: TypeAlias = Annotated[
    str,
    typer.Option("--store", metavar="URL", help="Artifact store: a folder, or s3://bucket/prefix."),
]
Collection: TypeAlias = Annotated[
    Path,
    typer.Option("--collection", metavar="DIR", help="Folder of recordings of public archives."),
]
Settings: TypeAlias = Annotated[
    list[str],
    _several(
        "--set",
        "KEY=VALUE",
        "Overrides a setting of the recipe, such as seed=1 or round.0.epochs=5",
    ),
]
Only: TypeAlias = Annotated[
    str | None, _stage("--only", "Run the missing steps of this stage and nothing else.")
]
Until: TypeAlias = Annotated[str | None, _stage("--until", "Run this stage and all that it needs.")]
FromStage: TypeAlias = Annotated[
    str | None, _stage("--from", "Rebuild this stage and all stages that follow it.")
]
Refresh: TypeAlias = Annotated[
    list[str],
    _several(
        "--refresh",
        "STAGE[:SHARD]",
        "Rebuild these steps, such as mel, mel:0003 or 'train:student'",
        SELECTION,
    ),
]
Workers: TypeAlias = Annotated[
    int, typer.Option("--workers", min=0, help="Tasks at once; 0 is one per core.")
]
RunName: TypeAlias = Annotated[
    str | None, _argument("[RUN]", "A run's name or how it begins; the latest by default.")
]
ArtifactName: TypeAlias = Annotated[
    str,
    _argument(
        "ARTIFACT", "STAGE/KEY or how it begins, a path into the store, or a file that a run wrote."
    ),
]
Debug: TypeAlias = Annotated[
    bool, typer.Option("--debug", callback=_remember_debug, help="Show tracebacks.")
]

# Of commands on what `birdflow detect` wrote.
Detections: TypeAlias = Annotated[
    Path,
    _argument(
        "DETECTIONS",
        "The folder that detect wrote to (--out), or its detections.parquet or .csv.",
    ),
]
LeastConfidence: TypeAlias = Annotated[
    float, typer.Option("--min_conf", "--min-conf", min=0, max=1, help="The least confidence.")
]
AudioFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where the recordings are, if not where they were found.",
        show_default=False,
    ),
]
DrawSeed: TypeAlias = Annotated[int, typer.Option(min=0, help="Of what is chosen at random.")]
