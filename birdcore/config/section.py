"""What tables of the recipe are made of."""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

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


def _add_renamed(schema: dict[str, Any], section: type["Section"]) -> None:
    """Old keys travel with the JSON schema, from which messages about a recipe are written."""
    if section.renamed:
        schema["renamed"] = section.renamed


class Section(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra=_add_renamed
    )

    renamed: ClassVar[dict[str, str]] = {}
    """Keys of earlier versions and what they are called now; an old one is refused with the new."""


def defaults_of(settings: BaseModel) -> dict[str, Any]:
    """What settings of this kind are where nothing is said of them; those that must be said have
    none."""
    fields = type(settings).model_fields.items()
    defaults = {name: field.get_default() for name, field in fields if not field.is_required()}
    return {
        name: default.model_dump() if isinstance(default, BaseModel) else default
        for name, default in defaults.items()
    }
