"""The data folder of a run, of whatever layout: told by a setting, or by what is there."""

from pathlib import Path

from birdcore.config import Recipe
from birdcore.csv_table import TableError, is_there
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.source import FOLDERS, MAIN, SOURCES, TABLES, Source
from birdcore.store.digests import Digester


def read_data(folder: Path, store: Digester, recipe: Recipe) -> Source:
    """The source in a data folder.

    Args:
        folder: Where it lies.
        store: Remembers digests of files that did not change.
        recipe: Its [data] says how the folder is to be read.

    Raises:
        TableError: The folder can't be read as its layout, or fits none.
    """
    layout = layout_name(folder) if recipe.data.layout == "auto" else recipe.data.layout
    return SOURCES[layout].read(folder, store, recipe, None)


def layout_name(folder: Path) -> str:
    """The layout of a folder, a key of `SOURCES`, by what is there.

    A competition's tables come first, then tables of labels, then folders of recordings. What fits
    none is read as a competition's folder, whose error names what is missing.
    """
    if not folder.is_dir() or any(is_there(folder / each.train) for each in LAYOUTS):
        return MAIN
    if _has_labels(folder):
        return TABLES
    return FOLDERS if _has_class_folders(folder) else MAIN


def _has_labels(folder: Path) -> bool:
    from birdcore.annotations.readers import format_of
    from birdcore.annotations.table import find_tables
    from birdcore.sources.class_names import CLASSES

    tables = (table for table in find_tables(folder)[0] if table.name != CLASSES)
    try:
        return any(format_of(table) is not None for table in tables)
    except TableError:
        return False


def _has_class_folders(folder: Path) -> bool:
    from birdcore.sources.listing import list_audio

    return any("/" in name for name in list_audio(folder, "").audio)
