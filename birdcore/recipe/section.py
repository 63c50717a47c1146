"""What tables of the recipe are made of."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]
Name = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="a name of a-z, 0-9 and -, in quotes")
]

Output: TypeAlias = Literal["framewise", "clipwise", "both"]
"""What a window says of a moment: its frames there (1st place), or the window as a whole, or the
mean of the two."""


class Section(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
