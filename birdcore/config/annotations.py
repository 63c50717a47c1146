"""How tables of time-bounded labels are to be understood, where they do not say it themselves."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from birdcore.config.section import Count, Section
from birdcore.config.validation_errors import WrongSetting

Text = Annotated[str, Field(pattern=r"\S", description="a name that is not blank, in quotes")]


class Annotations(Section):
    """What to take from the tables of labels beside recordings, and what it means that a table
    says nothing."""

    format: Literal[
        "auto", "raven", "audacity", "csv", "wide", "kaleidoscope", "pyha", "hoplite", "crowsetta"
    ] = "auto"
    """Whose tables they are; "auto" tells each one by its content. A named format is taken alone:
    tables of other formats are left out, and reported."""
    label_column: Text | None = None
    """The column that holds the label; where none is named, the first of the usual ones that holds
    anything (docs/annotations.md lists them)."""
    label: Text | None = None
    """The label of a table that has no column of labels: "folder" takes the name of the folder that
    the table is in, "table" the table's own name, and any other text is the label itself. Without
    it such a table is refused."""
    annotator: Text | None = None
    """Who a label is of, where several people annotated the same recordings: "folder" takes the
    name of the folder that the table is in, "table" the table's own name, and any other text names
    a column. Each person then has a vote: a class that one of three names is there by a third.
    Without it, what anybody names is there (HMS 2024: votes, normalised; not measured here)."""
    votes: Text | None = None
    """Or the column that says how many people name the label of its row,"""
    voters: Count | Text | None = None
    """and how many there are: a number, or the column that says it."""
    complete: bool = False
    """Recordings that a table covers are fully annotated: what is not named in them is absent.
    Otherwise a stretch without a label says nothing."""
    without_table: Literal["unlabelled", "silent"] = "unlabelled"
    """What a recording without a table is: not annotated, or annotated with nothing in it."""
    absent_labels: tuple[Text, ...] = (
        "background", "neg", "negative", "negatives", "nocall", "noise",
    )  # fmt: skip
    """Labels, and folders of recordings, that are no classes: no class is heard there. Case does
    not matter."""

    @model_validator(mode="after")
    def _votes_are_of_people(self) -> "Annotations":
        if (self.votes is None) != (self.voters is None):
            given, lacks = ("votes", "voters") if self.voters is None else ("voters", "votes")
            raise WrongSetting(f"needs {lacks} as well: so many votes of so many people", given)
        if self.votes is not None and self.annotator is not None:
            raise WrongSetting("does not go with annotator: take one of them", "votes")
        return self
