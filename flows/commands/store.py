"""`birdflow store`: what a store holds, verifying it, and removing what no run needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import ArtifactName, Debug, StoreUrl
from flows.terminal import doing

if TYPE_CHECKING:
    from birdcore.store.store import Store


def existing_store(location: str) -> Store:
    """The store at a folder or URL; raises ValueError where there is none, and makes none."""
    from birdcore.store.location import is_url, open_store

    if not is_url(location) and not (Path(location) / "store.json").is_file():
        raise ValueError(f"{location} is not a store: name one with --store")
    return open_store(location, make=False)


def ls(
    *,
    store: StoreUrl = "store",
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE", help="List this stage's artifacts and the runs that need each."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """List artifacts by stage, steps in progress, and what killed processes left."""
    from flows import store_commands

    with doing(f"reading {store}"):
        store_commands.ls(existing_store(store), stage)


def show(artifact: ArtifactName, *, store: StoreUrl = "store", debug: Debug = False) -> None:
    """Describe one artifact: metrics, settings, inputs, files, and the runs that need it."""
    from flows import store_commands

    store_commands.show(existing_store(store), artifact)


def verify(
    artifacts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARTIFACT",
            help="Names as for `birdflow lineage`; all artifacts by default.",
            show_default=False,
        ),
    ] = None,
    *,
    store: StoreUrl = "store",
    remove: Annotated[bool, typer.Option("--remove", help="Remove damaged artifacts.")] = False,
    debug: Debug = False,
) -> int:
    """Read every byte; exit with 1 where an artifact is damaged."""
    from flows import store_commands

    return store_commands.verify(existing_store(store), artifacts or [], remove=remove)


def gc(
    *,
    store: StoreUrl = "store",
    keep_runs: Annotated[
        int, typer.Option(metavar="N", help="Completed runs of each recipe to keep.")
    ] = 5,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove; without it only say what would be removed.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Remove what neither the last runs of each recipe nor pins need."""
    from flows import store_commands

    with doing(f"looking for artifacts of {store} that nothing needs"):
        store_commands.gc(existing_store(store), keep_runs, yes=yes)


def pin(
    artifact: ArtifactName,
    *,
    store: StoreUrl = "store",
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for later readers.")] = "",
    debug: Debug = False,
) -> None:
    """Keep an artifact and everything that it was made from."""
    from flows import store_commands

    store_commands.pin_one(existing_store(store), artifact, why)


def unpin(artifact: ArtifactName, *, store: StoreUrl = "store", debug: Debug = False) -> None:
    """Remove a pin: the artifact stays only as long as a run needs it."""
    from flows import store_commands

    store_commands.unpin_one(existing_store(store), artifact)
