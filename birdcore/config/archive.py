"""What the recipe's tables of archives share: what is wanted, and how an archive is asked."""

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from birdcore.config.section import Count, Positive, Seconds, Section
from birdcore.config.validation_errors import WrongSetting

Species = Annotated[
    str,
    Field(
        pattern=r'^[^\s"]+ [^\s"]+$',
        description="a scientific name of two words, such as Turdus merula",
    ),
]


class Criteria(Section):
    """Which recordings of an archive are wanted."""

    table: ClassVar[str]
    """The recipe's table; also the name of shards of what was collected."""
    title: ClassVar[str]

    site: str
    species: tuple[Species, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """South, west, north, east, in degrees."""
    exclude_licenses: tuple[Literal["nc", "nd"], ...] = ()
    """Leave out licences that forbid commercial use (nc) or derivatives (nd)."""
    per_species: Count | None = None
    """At most so many, spread over recordists, countries and types."""
    competition: Literal["out", "only", "any"] = "out"
    """The competition's species are left out, or nothing else is taken, or both are."""

    per_second: Positive = 1.0
    """Requests to the archive, over all that ask it."""
    search_age_h: Seconds = 20.0
    """Searches that are younger are not made again."""
    per_page: int

    @classmethod
    def data(cls) -> str:
        """What a round's `data` and the rate limit call it."""
        return cls.table.replace("_", "-")

    @model_validator(mode="after")
    def _boxes_are_boxes(self) -> "Criteria":
        for at, (south, west, north, east) in enumerate(self.boxes):
            if not (-90 <= south < north <= 90 and -180 <= west < east <= 180):
                raise WrongSetting("must be [south, west, north, east] in degrees", "boxes", at)
        return self

    @model_validator(mode="after")
    def _site_is_one(self) -> "Criteria":
        parts = urlsplit(self.site)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            usual = type(self).model_fields["site"].default
            raise WrongSetting(f"must be like {usual}", "site")
        return self
