"""The data of `birdflow demo`: a synthetic competition, and an archive with more recordings."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path

from birdcore.archives.errors import KEY_NAME
from birdcore.demo.archive import KEY, serve
from birdcore.demo.folder import DemoSettings, write_folder
from birdcore.demo.uploads import write_uploads

RECIPE = Path(str(files("recipes") / "demo.toml"))
PORT = 8347
"""The recipe names this port. The address of an archive is part of a search's identity, so another
port searches again."""


@contextmanager
def demo_data(home: Path) -> Iterator[list[str]]:
    """Write `data/` and `archive/` below `home`, and serve the archive inside the context.

    Yields:
        Settings over the recipe's own: the archive's address where the recipe's port is taken.
    """
    write_folder(home / "data")
    write_uploads(home / "archive", home / "data", DemoSettings())
    os.environ[KEY_NAME] = KEY
    with ExitStack() as stack:
        try:
            stack.enter_context(serve(home / "archive", PORT))
            settings = []
        except OSError:
            archive = stack.enter_context(serve(home / "archive"))
            settings = [f'xeno_canto.site="{archive.url}"']
        yield settings
