"""The steps that describe labelled recordings: catalogues, what leaks between sources, folds.

A recording that two sources have is used in one of them alone, by content and by sound, so that no
model is validated on what it learnt from elsewhere. The data folder's own recordings go first, then
sources in the recipe's order.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from birdcore.config import Recipe
from birdcore.sources.further import read_synonyms
from birdcore.sources.shards import Shard
from birdcore.sources.source import LABELLED, STAND_INS, Source
from birdcore.stages import catalog, collection, fingerprint, folds, joined, leaks
from birdcore.store.artifact import Step
from flows.rounds import refs

Parts = Mapping[str, Sequence[Shard]]
"""The shards of each subset by its name."""


def catalog_steps(
    recipe: Recipe, source: Source, further: Sequence[Source], parts: Parts
) -> tuple[list[Step], list[Step]]:
    """Catalogue and folds of the data folder with what the recipe's [[source]] tables add to it.

    Returns:
        The catalogue of the data folder and all that the last two are made of, and these two: the
        catalogue that rounds read, and its folds.
    """
    own = catalog.step(source)
    before = [own]
    described = own
    if further:
        catalogs = []
        for number, one in enumerate(further):
            *compared, cataloged = collection_steps((source, *further[:number]), one, parts)
            before += [*compared, cataloged]
            catalogs.append(cataloged)
        names = [one.folder for one in further]
        synonyms = [read_synonyms(table) for table in recipe.source]
        described = joined.step(own.ref, refs(catalogs), names, recipe.source, synonyms)
    return before, [described, folds.step(described.ref, recipe.folds.count, recipe.seed)]


def collection_steps(earlier: Sequence[Source], extra: Source, parts: Parts) -> list[Step]:
    """The catalogue of another source, without what earlier ones have too, after what it reads.

    Fingerprints of all audio tell which recordings are the same.

    Args:
        earlier: The data folder, and sources whose recordings go before those of this one.
        extra: The source.
        parts: All shards.
    """
    known: list[Step] = []
    files, urls = [], []
    for one in earlier:
        subsets = [each for each in one.subsets if each.name != STAND_INS]  # in others too
        known += [fingerprint.step(part, one.root) for s in subsets for part in parts[s.name]]
        files += [file for subset in subsets for file in subset.files]
        urls += one.urls
    steps = list(known)
    leaky: list[Step] = []
    of_extra = (parts.get(extra.subset(use).name, ()) for use in LABELLED)
    for part in chain.from_iterable(of_extra):
        own = fingerprint.step(part, extra.root)
        leaky.append(leaks.step(part, own.ref, refs(known), files, urls))
        steps += [own, leaky[-1]]
    return [*steps, collection.step(extra, refs(leaky))]
