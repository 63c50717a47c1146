"""`birdflow check`: what a folder is, what is wrong with it, and which recipe to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import Debug
from flows.terminal import doing, err, out


def check(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder: of a BirdCLEF+ competition, with a folder for each class, or of "
            "recordings with tables of labels.",
            show_default=False,
        ),
    ],
    *,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Write a page of it: FILE.html, or index.html in DIR.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="RECIPE.toml",
            help="Save the starter recipe; a file that is there is not replaced.",
            show_default=False,
        ),
    ] = None,
    by_sound: Annotated[
        bool,
        typer.Option(
            "--by-sound", help="Find copies by sound as well: all recordings are decoded."
        ),
    ] = False,
    debug: Debug = False,
) -> int:
    """Look at a folder of recordings: layout, classes, damage, copies, and a starter recipe.

    Headers are read and nothing is decoded, so it takes seconds. Exit code: 0 for a folder that can
    be trained on, 1 for one that can't.
    """
    with doing(f"checking {data}"):
        from birdcore.check.inspect import check_folder
        from birdcore.check.page import page_path, write_page
        from birdcore.check.text import lines
        from birdcore.store.files import write_text

        if write is not None and (write.exists() or write.is_symlink()):
            message = f"{write} is there already: name another file, or move it away"
            raise typer.BadParameter(message, param_hint="--write")
        page = None if html is None else page_path(html)
        found = check_folder(data, by_sound=by_sound)
    for line in lines(found):
        out.print(line)
    if page is not None:
        write_page(found, page)
        out.print(f"page       {page}")
    if write is not None and found.recipe:
        write.parent.mkdir(parents=True, exist_ok=True)
        write_text(write, found.recipe)
        out.print(f"recipe     {write}")
    if not found.usable:
        err.print(f"birdflow: {data} can't be trained on as it is")
    return 0 if found.usable else 1
