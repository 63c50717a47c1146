"""The recipe's [[source]] tables: folders of recordings beside the data folder, of any layout.

Their recordings must not be taken for those of the data folder, so all names of a further source
begin with the name of its folder: `crickets/Gryllus/1.wav`. Paths then start from where the folder
lies, and all that is made of a recording (cuts, mels, labels) needs to know nothing of sources.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from birdcore.config import Recipe
from birdcore.config.data import Data, FurtherSource
from birdcore.csv_table import Problem, TableError, read_table
from birdcore.sources.data_folder import read_data
from birdcore.sources.plain_folder import SUBSETS
from birdcore.sources.source import LABELLED, ROW_TABLES, Source, SourceFile, Subset
from birdcore.store.store import Store
from birdcore.unicode_names import nfc


def further_sources(recipe: Recipe, main: Source, store: Store) -> tuple[Source, ...]:
    """The sources that a recipe has beside the data folder, in its order.

    Args:
        recipe: Its [[source]] tables.
        main: The data folder.
        store: Remembers digests of files.

    Raises:
        ValueError: A folder is not there, fits no layout, or would be taken for another.
    """
    found: list[Source] = []
    for number, table in enumerate(recipe.source):
        where = f"source.{number}.path"
        folder = Path(os.path.abspath(table.path))  # links keep their own names
        if not folder.is_dir():
            raise TableError(f"{where}: there is no folder {folder}")
        data = Data(layout=table.layout, annotations=table.annotations)
        read = read_data(folder, store, recipe.model_copy(update={"data": data}))
        source = _beside(read, folder)
        _refuse_alike(source, (main, *found), where)
        found.append(source)
    return tuple(found)


def _refuse_alike(source: Source, others: Sequence[Source], where: str) -> None:
    """Raise TableError where names could be taken for those of another source."""
    folder = source.root / source.folder
    for other in others:
        if folder.resolve() == (other.root / other.folder).resolve():
            what = f"[[source]] {other.folder}" if other.folder else "the data folder"
            raise TableError(f"{where}: {folder} is {what} itself: remove this [[source]]")
        taken = {first for file in _files(other) if (first := file.path.partition("/")[0])}
        subsets = {each.name for each in other.subsets}
        if source.folder in taken or any(each.name in subsets for each in source.subsets):
            raise TableError(
                f"{where}: names of recordings begin with the folder's name, and {folder.name!r} "
                f"is too much like a folder of {other.root / other.folder}: give the path of a "
                "link to it that has another name"
            )


def _files(source: Source) -> list[SourceFile]:
    return [file for subset in source.subsets for file in subset.files]


def _beside(source: Source, folder: Path) -> Source:
    """The labelled recordings of a source as those of a folder that lies beside the data folder."""
    name = nfc(folder.name)
    kind = re.sub(r"\W", "_", name)
    subsets = tuple(
        Subset(
            f"{kind}_{SUBSETS[use]}",
            use,
            tuple(replace(file, path=f"{name}/{file.path}") for file in source.subset(use).files),
        )
        for use in LABELLED
    )
    metadata = source.metadata
    if metadata is not None:
        train = metadata.train.assign(recording=f"{name}/" + metadata.train["recording"])
        metadata = replace(metadata, train=train, row_ids=())
    problems = [p._replace(where=f"{name}/{p.where}") for p in source.problems]
    if idle := len(_files(source)) - sum(len(each.files) for each in subsets):
        problems.append(Problem("recordings of a source without labels", name, f"{idle}: not used"))
    return replace(
        source,
        root=folder.parent,
        folder=name,
        layout=source.layout or source.name,
        subsets=tuple(each for each in subsets if each.files),
        tables={
            f"{name}/{path}": sha for path, sha in source.tables.items() if path not in ROW_TABLES
        },
        metadata=metadata,
        overrides={f"{name}/{path}": rows for path, rows in source.overrides.items()},
        groups={f"{name}/{path}": group for path, group in source.groups.items()},
        problems=tuple(problems),
        table_problems=(),  # its catalogue reports them
    )


def read_synonyms(table: FurtherSource) -> Mapping[str, str]:
    """Names and what is accepted in their place; empty where no table is named.

    Raises:
        TableError: The table can't be read, or says two things of a name.
    """
    if table.synonyms is None:
        return {}
    path = Path(table.synonyms)
    rows = read_table(path, ("name", "accepted"))
    names = rows["name"].map(name_key)
    for line in rows.index:
        name, accepted = rows.loc[line, ["name", "accepted"]]
        if not name or not accepted:
            raise TableError(f"{path}:{line}: name or accepted is empty")
        others = rows["accepted"][names == names[line]].map(name_key)
        if others.nunique() > 1:
            raise TableError(f"{path}:{line}: {name!r} is there twice, with two accepted names")
    return dict(zip(names, rows["accepted"].map(name_key), strict=True))


def name_key(name: str) -> str:
    """What names are compared by: without case, with single spaces, `_` being one.

    Example:
        >>> name_key("Gryllus_campestris ")
        'gryllus campestris'
    """
    return " ".join(nfc(name).replace("_", " ").split()).casefold()
