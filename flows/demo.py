"""The embedded data set: a competition of made-up birds, and an archive to download others from."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path

from birdcore.demo.archive import KEY, serve
from birdcore.demo.folder import DemoSettings, write_folder
from birdcore.demo.uploads import write_uploads
from birdcore.xeno_canto.errors import KEY_NAME

RECIPE = Path(str(files("recipes") / "demo.toml"))
PORT = 8347
"""As the recipe has it: the archive's address is a part of what was searched for."""


@contextmanager
def demo(home: Path) -> Iterator[list[str]]:
    """Write `data/` and `archive/` below `home`, and serve the archive as long as it is needed.

    Yields the settings that the recipe needs where its port is taken.
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
