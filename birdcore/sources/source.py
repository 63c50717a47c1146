"""The door to recordings: what any layout of folders says of its recordings, as one type.

A BirdCLEF+ folder and a collection of recordings of an archive differ in files, tables and names.
What the pipeline needs of either is a `Source`: files with the digest of their content, grouped by
what they are used for, and what is known of them. Stages and the DAG read only that.

To add a layout, write one module with `read` (files and tables to a `Source`) and `catalog` (what
the stages `catalog` and `collection` publish), list it in `SOURCES`, and allow its name as `data`
of a round (`birdcore.config.round`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from birdcore.audio.trim import Override
    from birdcore.config import Recipe
    from birdcore.csv_table import Problem
    from birdcore.sources.asked_rows import AskedRows
    from birdcore.sources.catalog import Catalog, CatalogInput
    from birdcore.sources.tables import Tables
    from birdcore.store.digests import Digester
    from birdcore.store.store import Store

Use: TypeAlias = Literal["labelled", "annotated", "unlabelled", "test"]
"""`labelled` recordings are cleaned of speech and trained on; `annotated` ones are trained on where
their labels say; `unlabelled` ones get pseudo-labels; `test` ones are predicted. Of all but the
first every second is kept."""
LABELLED: tuple[Use, ...] = ("labelled", "annotated")
"""Those that somebody labelled: a catalogue describes them."""


@dataclass(frozen=True)
class SourceFile:
    """An audio file; `path` below the source's root (slashes, NFC) is also its recording's name."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Subset:
    """The recordings of a source that have one use.

    `name` stands in the names of steps and in the store's ledger of shards, so no two sources may
    have the same one, and it is never changed.
    """

    name: str
    use: Use
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True)
class Source:
    """The recordings of one layout as they are now.

    Attributes:
        name: What a round's `data` calls it.
        layout: Its layout in `SOURCES`, where that has another name.
        settings: What of the recipe says how its labels are to be read.
        folder: Of a further source: all of these paths begin with the name of this folder.
        root: Folder that the paths of `subsets` and `tables` start from.
        subsets: Recordings by use, at most one subset each.
        tables: sha256 of the tables that describe the labelled recordings, by path.
        metadata: These tables as read; None where only the stage reads them.
        groups: What labelled recordings are of (`Insecta`, "frogs"), where tables say it.
        overrides: Intervals that a person decided to keep or cut, by recording.
        problems: What was passed over, with the reason.
        passed_over: Files that a table names and that exist but are no recordings, with the reason.
        table_problems: What does not fit between tables and files; the catalogue reports it too.
    """

    name: str
    root: Path
    subsets: tuple[Subset, ...]
    tables: Mapping[str, str]
    metadata: "Tables | None" = field(default=None, compare=False)
    overrides: "Mapping[str, tuple[Override, ...]]" = field(default_factory=dict)
    problems: "tuple[Problem, ...]" = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)
    table_problems: "tuple[Problem, ...]" = ()
    layout: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    def subset(self, use: Use) -> Subset:
        """The recordings of a use; an empty subset without a name where there are none."""
        return next((each for each in self.subsets if each.use == use), Subset("", use))

    @property
    def audio(self) -> dict[str, tuple[SourceFile, ...]]:
        """Files by the name of their subset."""
        return {subset.name: subset.files for subset in self.subsets}

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes where they are known before the catalogue, in the submission's order."""
        return () if self.metadata is None else self.metadata.labels

    @property
    def row_ids(self) -> tuple[str, ...]:
        """The rows of the sample submission; empty where there is none."""
        return () if self.metadata is None else self.metadata.row_ids

    @property
    def asked(self) -> "AskedRows | None":
        """What tables say of the rows of a submission; None where the layout has no such table."""
        return None if self.metadata is None else self.metadata.asked

    @property
    def species(self) -> tuple[str, ...]:
        """Scientific names of the classes, in the taxonomy's order."""
        return () if self.metadata is None else tuple(self.metadata.taxonomy["scientific_name"])

    @property
    def urls(self) -> list[tuple[str, str]]:
        """(recording, address or "") of each labelled recording that the tables name."""
        if self.metadata is None:
            return []
        train = self.metadata.train
        return list(zip(train["recording"], train["url"], strict=True))


@dataclass(frozen=True)
class Layout:
    """A layout of folders: the module with its `read` and `catalog`, and what people call it.

    The module is imported when it is used: a plan on one layout needs no other.
    """

    module: str
    title: str

    def catalog(self, given: "CatalogInput") -> "Catalog":
        """The tables of labelled recordings and species that the layout's files describe."""
        made: Catalog = self._load("catalog")(given)
        return made

    def read(
        self, folder: Path, store: "Digester", recipe: "Recipe", main: Source | None
    ) -> Source:
        """The source in a folder.

        Args:
            folder: Where it lies.
            store: Remembers digests of files that did not change.
            recipe: What is wanted of it.
            main: The source that the run is for; None where this is it.

        Raises:
            ValueError: It can't be used, or has nothing that the recipe wants.
        """
        source: Source = self._load("read")(folder, store, recipe, main)
        return source

    def _load(self, name: str) -> Any:
        return getattr(import_module(self.module), name)


STAND_INS = "stand_ins"
"""The subset of training soundscapes that are predicted where there are no test ones."""
SAMPLE = "sample_submission.csv"
"""Names the rows and classes that a submission has."""
TEST_TABLE = "test.csv"
"""Names the rows where there is no sample, in folders of 2021 and 2022."""
ROW_TABLES = (SAMPLE, TEST_TABLE)
"""Tables that are no matter of training."""
MAIN = "birdclef"
"""What a round's `data` calls the data folder, of whatever layout."""
FOLDERS, TABLES = "folders", "tables"
SOURCES = {
    MAIN: Layout("birdcore.sources.birdclef", "the competition's recordings"),
    "xeno-canto": Layout("birdcore.sources.collection", "Xeno-canto's recordings"),
    "inaturalist": Layout("birdcore.sources.inaturalist", "iNaturalist's sounds"),
    FOLDERS: Layout("birdcore.sources.class_folders", "a folder for each class"),
    TABLES: Layout("birdcore.sources.annotated_folder", "recordings with tables of labels"),
}
"""All layouts, by the names that a round's `data` and the recipe's `data.layout` give."""


def extra_sources(
    recipe: "Recipe", main: Source, folder: Path, store: "Store"
) -> tuple[Source, ...]:
    """The sources beside the data folder that a recipe's rounds read.

    Args:
        recipe: Its rounds name sources as `data`.
        main: The data folder; recordings of it are left out of every other source.
        folder: The collection.
        store: Remembers digests of files.

    Raises:
        ValueError: A source holds nothing that the recipe asks for.
    """
    names = dict.fromkeys(each.data for each in recipe.round if each.data != main.name)
    return tuple(SOURCES[name].read(folder, store, recipe, main) for name in names)
