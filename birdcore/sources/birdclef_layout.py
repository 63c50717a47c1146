"""What the competitions' folders are called in, year by year, told apart by what is there.

The tables hold much the same from 2021 to 2026; their names, and those of the folders beside them,
changed. A folder that has neither year's table of recordings is compared with all of them, so that
a person reads what is missing and not only that something is.
"""

from dataclasses import dataclass
from pathlib import Path

from birdcore.csv_table import TableError, is_there
from birdcore.sources.source import SAMPLE, Use

TAXONOMY = "taxonomy.csv"
TEST = "test_soundscapes"
SHOWN = 8
"""Entries of a folder that a message names."""


@dataclass(frozen=True)
class BirdclefLayout:
    """The names of one or more years.

    Attributes:
        years: Whose they are.
        train: The table of labelled recordings.
        clips: The folder of these, below which their names in the table start.
        soundscapes: The folder of recordings without labels, or of which some have them.
    """

    years: str
    train: str
    clips: str
    soundscapes: str

    @property
    def folders(self) -> dict[str, Use]:
        """The folders of recordings, and what those in them are used for."""
        return {self.clips: "labelled", self.soundscapes: "unlabelled", TEST: "test"}

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables; all but the first may be absent."""
        return (self.train, TAXONOMY, SAMPLE)


LAYOUTS = (
    BirdclefLayout("2025 and 2026", "train.csv", "train_audio", "train_soundscapes"),
    BirdclefLayout("2022 and 2023", "train_metadata.csv", "train_audio", "train_soundscapes"),
    BirdclefLayout("2024", "train_metadata.csv", "train_audio", "unlabeled_soundscapes"),
    BirdclefLayout("2021", "train_metadata.csv", "train_short_audio", "train_soundscapes"),
)
"""All years' names. The first is taken where nothing says more."""


OTHERS = (
    "recordings in a folder for each class, or tables of labels beside them (docs/annotations.md)"
)


def layout_of(root: Path) -> BirdclefLayout:
    """The layout of a data folder.

    Raises:
        TableError: It has no table of labelled recordings; the message names the nearest layout
            and what of it is missing.
    """
    table = next((each.train for each in LAYOUTS if is_there(root / each.train)), None)
    if table is None:
        raise TableError(_missing(root))
    # Of those with this table, the one whose folders are there; the first of equals.
    of_table = [layout for layout in LAYOUTS if layout.train == table]
    return max(of_table, key=lambda layout: _folders_there(root, layout))


def _folders_there(root: Path, layout: BirdclefLayout) -> tuple[bool, bool]:
    return (root / layout.clips).is_dir(), (root / layout.soundscapes).is_dir()


def _missing(root: Path) -> str:
    """Which layout a folder comes next to, and what it lacks."""
    nearest = max(LAYOUTS, key=lambda layout: sum(_folders_there(root, layout)))
    lacks = [nearest.train]
    if not (root / nearest.clips).is_dir():
        lacks.append(f"{nearest.clips}/")
    text = (
        f"{root}: no data folder. The nearest layout is that of BirdCLEF+ {nearest.years}, of "
        f"which {' and '.join(lacks)} {'are' if len(lacks) > 1 else 'is'} missing"
    )
    if not any(_folders_there(root, nearest)):
        text = f"{root}: no data folder, which has {OTHERS}, or {nearest.train} of BirdCLEF+"
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    inner = [
        name for name in entries if any((root / name / each.train).is_file() for each in LAYOUTS)
    ]
    if inner:
        return f"{text}; {root / inner[0]} is one: give that"
    if entries:
        more = ", …" * (len(entries) > SHOWN)
        return f"{text}; there are {', '.join(entries[:SHOWN])}{more}"
    return f"{text}; it is empty"
