"""The recipe's table [xeno_canto]: which recordings of the archive are wanted."""

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from birdcore.config.section import Count, Positive, Seconds, Section
from birdcore.config.validation_errors import WrongSetting

Words = Annotated[
    str, Field(pattern=r'^[^"]*[^"\s][^"]*$', description="a name without quotation marks")
]
Species = Annotated[
    str,
    Field(
        pattern=r'^[^\s"]+ [^\s"]+$',
        description="a scientific name of two words, such as Turdus merula",
    ),
]
Tags = Annotated[str, Field(pattern=r"\S", description="a query in the archive's tags")]


class XenoCanto(Section):
    """What is searched for, and what of it is chosen.

    Of several wishes of one kind (species, countries, boxes, areas, queries) one must fit, and of
    every kind that has wishes.
    """

    renamed: ClassVar[dict[str, str]] = {"without": "exclude_licenses"}

    site: str = "https://xeno-canto.org"
    species: tuple[Species, ...] = ()
    countries: tuple[Words, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """South, west, north, east, in degrees."""
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
    exclude_licenses: tuple[Literal["nc", "nd"], ...] = ()
    """Leave out licences that forbid commercial use (nc) or derivatives (nd)."""
    types: tuple[Words, ...] = ()
    """Such as song and call, which is also a flight call; all, if none is named."""
    per_species: Count | None = None
    """At most so many, spread over recordists, countries and types."""
    competition: Literal["out", "only", "any"] = "out"
    """The competition's species are left out, or nothing else is taken, or both are."""
    pseudo_species: bool = False
    """Take also soundscapes and mysteries."""

    per_second: Positive = 1.0
    """Requests to the archive, over all that ask it."""
    search_age_h: Seconds = 20.0
    """Searches that are younger are not made again."""
    per_page: Annotated[int, Field(ge=50, le=500)] = 500

    @model_validator(mode="after")
    def _is_a_wish(self) -> "XenoCanto":
        if not any((self.species, self.countries, self.boxes, self.areas, self.queries)):
            raise WrongSetting(
                "says not which recordings: set species, countries, boxes, areas or queries"
            )
        for at, (south, west, north, east) in enumerate(self.boxes):
            if not (-90 <= south < north <= 90 and -180 <= west < east <= 180):
                raise WrongSetting("must be [south, west, north, east] in degrees", "boxes", at)
        if self.max_s is not None and self.max_s < self.min_s:
            raise WrongSetting(f"must not be below min_s, which is {self.min_s:g}", "max_s")
        return self

    @model_validator(mode="after")
    def _site_is_one(self) -> "XenoCanto":
        parts = urlsplit(self.site)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise WrongSetting("must be like https://xeno-canto.org", "site")
        return self
