"""The recipe's table [xeno_canto]: which recordings of the archive are wanted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from birdcore.config.archive import Criteria
from birdcore.config.section import Positive, Seconds
from birdcore.config.validation_errors import WrongSetting

Words = Annotated[
    str, Field(pattern=r'^[^"]*[^"\s][^"]*$', description="a name without quotation marks")
]
Tags = Annotated[str, Field(pattern=r"\S", description="a query in the archive's tags")]


class XenoCanto(Criteria):
    """What is searched for, and what of it is chosen.

    Of several wishes of one kind (species, countries, boxes, areas, queries) one must fit, and of
    every kind that has wishes.
    """

    renamed: ClassVar[dict[str, str]] = {"without": "exclude_licenses"}
    table: ClassVar[str] = "xeno_canto"
    title: ClassVar[str] = "Xeno-canto"

    site: str = "https://xeno-canto.org"
    countries: tuple[Words, ...] = ()
    areas: tuple[Words, ...] = ()
    """The archive's own: africa, america, asia, australia, europe."""
    queries: tuple[Tags, ...] = ()
    """Queries in the archive's tags, such as `grp:birds year:">2015"`."""

    min_quality: Literal["A", "B", "C", "D", "E"] = "C"
    """The archive's grades; C is a rating of 3."""
    unrated: bool = False
    """Take also recordings that nobody has rated."""
    min_s: Seconds = 1.0
    max_s: Positive | None = None
    types: tuple[Words, ...] = ()
    """Such as song and call, which is also a flight call; all, if none is named."""
    pseudo_species: bool = False
    """Take also soundscapes and mysteries."""

    per_page: Annotated[int, Field(ge=50, le=500)] = 500

    @model_validator(mode="after")
    def _is_a_wish(self) -> "XenoCanto":
        if not any((self.species, self.countries, self.boxes, self.areas, self.queries)):
            raise WrongSetting(
                "says not which recordings: set species, countries, boxes, areas or queries"
            )
        if self.max_s is not None and self.max_s < self.min_s:
            raise WrongSetting(f"must not be below min_s, which is {self.min_s:g}", "max_s")
        return self
