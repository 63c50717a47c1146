"""`birdflow collect` and `archive`: download from public archives, or serve Xeno-canto's API."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.execute import existing_recipe, prefect_session
from flows.options import Collection, Data, Debug, RecipePath, Settings, StoreUrl
from flows.terminal import doing, out


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
    """Download the recordings of Xeno-canto and iNaturalist that a recipe selects."""
    from birdcore.store.location import open_store
    from birdcore.store.run_records import run_request

    request = run_request(existing_recipe(recipe), data, Path(), collection, settings)
    with doing(f"reading {data}"):
        from flows.request import archives_of, read_inputs

        parsed, source = read_inputs(request, open_store(store, preview=dry_run))
    archives = archives_of(parsed, str(recipe))
    if dry_run:
        from flows.dry_run import dry_run as search_only

        for criteria in archives:
            with doing(f"searching {criteria.title}"):
                table = search_only(criteria, source.metadata, collection)
            out.print(table)
        return
    with prefect_session(store, debug=debug):
        from flows.collect import collect as flow

        counts = flow(request.recipe, str(data), str(collection), settings)
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
