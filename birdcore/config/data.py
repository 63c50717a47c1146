"""The recipe's [data]: what the data folder holds, where it does not say so itself."""

from typing import Literal

from birdcore.config.annotations import Annotations, Text
from birdcore.config.section import Section


class Data(Section):
    """How the data folder is to be read."""

    layout: Literal["auto", "birdclef", "folders", "tables"] = "auto"
    """A BirdCLEF+ folder, a folder for each class, or recordings with tables of labels; "auto"
    tells them apart by what is there."""
    test: tuple[Text, ...] = ()
    """Recordings that are predicted and never trained on, by patterns of their paths, such as
    "site3/*"; those of a BirdCLEF+ folder are in test_soundscapes/."""
    annotations: Annotations = Annotations()
    """What tables of labels leave open."""
