"""A collection of iNaturalist's sounds as a source: see `collection.py`, which does all of it."""

from pathlib import Path

from birdcore.config import Recipe
from birdcore.sources import collection
from birdcore.sources.catalog import Catalog, CatalogInput
from birdcore.sources.source import Source
from birdcore.store.store import Store


def read(folder: Path, store: Store, recipe: Recipe, main: Source | None) -> Source:
    """What the collection has of the last selection for a recipe's [inaturalist].

    Raises:
        ValueError: It has nothing of it.
    """
    assert main is not None
    assert recipe.inaturalist is not None
    return collection.part_for(folder, recipe.inaturalist, main)


def catalog(given: CatalogInput) -> Catalog:
    """The catalogue of a collection; raises ValueError where all of its sounds are leaks."""
    return collection.catalog(given, "iNat")
