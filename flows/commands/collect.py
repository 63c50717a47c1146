"""`birdflow collect` and `archive`: download from Xeno-canto, or serve its API."""

from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.run import read_inputs
from flows.options import Collection, Data, Debug, RecipePath, Settings, StoreUrl
from flows.terminal import doing, ends_on_interrupt, err, out, quiet_prefect


def collect(
    recipe: RecipePath,
    *,
    data: Data,
    settings: Settings,
    store: StoreUrl = "store",
    collection: Collection = Path("collection"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Search and say what would be downloaded.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Download the recordings of Xeno-canto that a recipe selects."""
    from birdcore.store.location import local_folder, open_store

    parsed, source = read_inputs(recipe, settings, data, open_store(store))
    if parsed.xeno_canto is None:
        raise ValueError(
            f"{recipe} has no table [xeno_canto], which selects the recordings to download"
        )
    if dry_run:
        from flows.dry_run import dry_run as search_only

        with doing("searching Xeno-canto"):
            table = search_only(parsed.xeno_canto, source.metadata, collection)
        out.print(table)
        return
    quiet_prefect(debug)
    with ends_on_interrupt(), ExitStack() as stack:
        with doing("starting Prefect"):
            from flows.server import server, ui_of

            url = stack.enter_context(server(local_folder(store)))
            from flows.collect import collect as flow
            from tasks.progress import bars_on_terminal
        out.print(f"UI       {ui_of(url)} while this runs")
        with bars_on_terminal() if err.is_terminal else nullcontext():
            counts = flow(str(recipe), str(data), str(collection), settings)
    for name, count in counts.items():
        out.print(f"{name:<10}{count}")


def archive(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder with recordings.json and audio/.", show_default=False
        ),
    ],
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8347,
    debug: Debug = False,
) -> None:
    """Serve a folder with the API of Xeno-canto, for tests and the demo."""
    from birdcore.demo.archive import serve_archive

    serve_archive(folder, port=port)
