"""What a look at a data folder finds: plain facts, which the text and the page show alike."""

from dataclasses import dataclass, field
from typing import NamedTuple

from birdcore.csv_table import Problem


@dataclass(frozen=True)
class UseFacts:
    """Recordings of one use; `name` says which in a word or two."""

    name: str
    recordings: int
    hours: float


@dataclass(frozen=True)
class ClassFacts:
    """What there is of a class.

    Attributes:
        label: As the folder or table has it.
        name: Its common name, else its scientific one; "" where the label is all that is known.
        group: The taxonomic class or group, "" where it is not known.
        clips: Recordings of it as a whole.
        hours: Their length.
        events: Labels with times.
        annotated: Recordings that have such labels.
        groups: Recordists, or recordings where these are not known, and groups of annotated
            recordings (site and day): what can be held out and learnt apart.
    """

    label: str
    name: str
    group: str
    clips: int
    hours: float
    events: int
    annotated: int
    groups: int

    @property
    def recordings(self) -> int:
        return self.clips + self.annotated


class Form(NamedTuple):
    """What recordings have in common as files: format, rate in Hz, channels."""

    format: str
    rate: int
    channels: int


@dataclass(frozen=True)
class Finding:
    """Problems of one kind: how many, and the first of them."""

    kind: str
    count: int
    first: tuple[Problem, ...]


@dataclass(frozen=True)
class Places:
    """When and where recordings were made, as far as names, metadata and tables say.

    Attributes:
        sites: Names of sites, in order.
        recorders: Models and serial numbers.
        days: The first and the last day, ISO 8601; None where no time is known.
        timed: Recordings whose time is known.
        box: Lowest and highest latitude, lowest and highest longitude, in degrees.
        positioned: Recordings whose position is known.
    """

    sites: tuple[str, ...] = ()
    recorders: tuple[str, ...] = ()
    days: tuple[str, str] | None = None
    timed: int = 0
    box: tuple[float, float, float, float] | None = None
    positioned: int = 0


@dataclass(frozen=True)
class Groups:
    """What folds can keep together.

    Attributes:
        recordists: Names of authors of clips.
        nameless: Clips whose author is not known: each is a group by itself.
        annotated: Groups of annotated recordings.
        unscored: Labels of classes that lie in one group alone: they are trained everywhere, and
            never validated.
    """

    recordists: int
    nameless: int
    annotated: int
    unscored: tuple[str, ...]

    def __str__(self) -> str:
        parts = (
            (self.recordists, "recordist", ""),
            (self.nameless, "clip", " whose recordist is not known"),
            (self.annotated, "group", " of recordings with labelled times"),
        )
        said = [f"{n} {what}{'s' * (n > 1)}{more}" for n, what, more in parts if n]
        return ", ".join(said) or "nothing"


@dataclass(frozen=True)
class Check:
    """A folder as it was found.

    Attributes:
        folder: Where it lies.
        layout: What it is, in words; of one that can't be used, what it comes next to.
        why: By what this was told.
        refused: Why it can't be used; "" where it can.
        uses: Recordings by use.
        classes: By label.
        forms: How many recordings there are of each form, commonest first.
        places: When and where.
        damaged: Files that can't be read, or not in full.
        ignored: What does not fit, and is passed over.
        copies: The same content, or sound, more than once.
        imbalances: Remarks on how unevenly classes are there.
        groups: What folds can be made of; None where there are no classes.
        recipe: A starter recipe as TOML; "" where the folder can't be used.
        seconds: How long the look took.
    """

    folder: str
    layout: str
    why: str
    refused: str = ""
    uses: tuple[UseFacts, ...] = ()
    classes: tuple[ClassFacts, ...] = ()
    forms: tuple[tuple[Form, int], ...] = ()
    places: Places = Places()
    damaged: tuple[Finding, ...] = ()
    ignored: tuple[Finding, ...] = ()
    copies: tuple[Finding, ...] = ()
    imbalances: tuple[str, ...] = ()
    groups: Groups | None = None
    recipe: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def usable(self) -> bool:
        return not self.refused
