"""The recipe's [data] and [[source]]: how the data folder and folders beside it are to be read."""

from typing import Literal, TypeAlias

from birdcore.config.annotations import Annotations, Text
from birdcore.config.section import Positive, Section

LayoutName: TypeAlias = Literal["auto", "birdclef", "folders", "tables"]


class Data(Section):
    """How the data folder is to be read."""

    layout: LayoutName = "auto"
    """A BirdCLEF+ folder, a folder for each class, or recordings with tables of labels; "auto"
    tells them apart by what is there."""
    test: tuple[Text, ...] = ()
    """Recordings that are predicted and never trained on, by patterns of their paths, such as
    "site3/*"; those of a BirdCLEF+ folder are in test_soundscapes/."""
    annotations: Annotations = Annotations()
    """What tables of labels leave open."""


class FurtherSource(Section):
    """A folder of labelled recordings beside the data folder: the rounds that train on the data
    folder train on its recordings too. Their names begin with the folder's name, so no two folders
    may have the same. Recordings that the data folder or an earlier source has as well, by content
    or by sound, are left out; so are those that nobody labelled."""

    path: Text
    """The folder, from the recipe's own folder on, or absolute."""
    layout: LayoutName = "auto"
    """As that of [data]."""
    weight: Positive = 1.0
    """How often its recordings are drawn, relative to those of the data folder: 0.5, half as often;
    3, three times."""
    classes: Literal["main", "all"] = "main"
    """Recordings of species that are no class of the data folder are left out ("main"), or their
    species are further classes of the models and of the submission ("all"). Species are told by
    scientific name, or by label where there is none."""
    synonyms: Text | None = None
    """A table with columns name and accepted: what a species or label is called here or in the data
    folder, and the name that both have in common. A path like that of the folder."""
    annotations: Annotations = Annotations()
    """What its tables of labels leave open."""
