"""How tables of time-bounded labels are to be understood, where they do not say it themselves."""

from typing import Annotated, Literal

from pydantic import Field

from birdcore.config.section import Section

Text = Annotated[str, Field(pattern=r"\S", description="a name that is not blank, in quotes")]


class Annotations(Section):
    """What to take from the tables of labels beside recordings, and what it means that a table
    says nothing."""

    format: Literal[
        "auto", "raven", "audacity", "csv", "kaleidoscope", "pyha", "hoplite", "crowsetta"
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
