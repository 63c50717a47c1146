"""The recipe's table [inaturalist]: whose sounds, of which observations, are wanted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from birdcore.config.archive import Criteria
from birdcore.config.section import Count
from birdcore.config.validation_errors import WrongSetting


class INaturalist(Criteria):
    """Which observations are searched for, and which of their sounds are chosen.

    A species or a taxon must fit, where any is named, and a place, and a box. Sounds without a
    licence, whose rights are all reserved, are never taken.
    """

    table: ClassVar[str] = "inaturalist"
    title: ClassVar[str] = "iNaturalist"

    site: str = "https://api.inaturalist.org"
    taxa: tuple[Count, ...] = ()
    """iNaturalist's numbers of taxa, with all below them: 20978 are Amphibia, 47651 Orthoptera."""
    places: tuple[Count, ...] = ()
    """iNaturalist's numbers of places: 7196 is Colombia."""
    quality_grades: Annotated[
        tuple[Literal["research", "needs_id", "casual"], ...], Field(min_length=1)
    ] = ("research",)
    """Grades of an observation; of research grade are those that others have confirmed."""

    per_page: Annotated[int, Field(ge=1, le=200)] = 200

    @model_validator(mode="after")
    def _is_a_wish(self) -> "INaturalist":
        if not any((self.species, self.taxa, self.places, self.boxes)):
            raise WrongSetting("says not which sounds: set species, taxa, places or boxes")
        return self
