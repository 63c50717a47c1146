"""Which of the listed records are selected: a pure function, with a reason for every other.

Where a species has more than `per_species`, they are spread: the first is the best of one
recordist, the next that of another, and so on; of many recordists those that bring another country,
and of these another type. Which records of a group come first depends on that group alone, so that
one record more in the archive exchanges a few of the chosen and not all.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from birdcore.archives.record import Record, observation_of, rating
from birdcore.config import Criteria, INaturalist, XenoCanto


@dataclass(frozen=True)
class Competition:
    """What the competition has: its species' scientific names, and ids of the archive.

    `observations` are those of iNaturalist, which may have several sounds with ids of their own.
    """

    species: frozenset[str] = frozenset()
    ids: frozenset[int] = frozenset()
    observations: frozenset[int] = frozenset()


@dataclass(frozen=True)
class LeftOut:
    id: int
    why: str


@dataclass(frozen=True)
class Selected:
    """Both in the order of their ids; each record is in one of them."""

    chosen: list[Record]
    left_out: list[LeftOut]


def select(records: Iterable[Record], criteria: Criteria, competition: Competition) -> Selected:
    """Choose records.

    Args:
        records: What searches found; of records with one id, the first is taken.
        criteria: The recipe's [xeno_canto] or [inaturalist].
        competition: Species and recordings of the data folder.

    Returns:
        The chosen records, and each other with the first reason that applies.

    Example:
        >>> from birdcore.config import XenoCanto
        >>> record = Record(7, "Turdus merula", quality="A", length_s=9.0, file_url="https://x.org")
        >>> select([record], XenoCanto(areas=("europe",), min_s=10), Competition()).left_out
        [LeftOut(id=7, why='shorter than min_s')]
    """
    why_not = _checks(criteria, competition)
    by_species: dict[str, list[Record]] = defaultdict(list)
    left_out: list[LeftOut] = []
    for record in {r.id: r for r in reversed(list(records))}.values():
        why = next(filter(None, (check(record) for check in why_not)), None)
        if why is None:
            by_species[_folded(record.scientific_name)].append(record)
        else:
            left_out.append(LeftOut(record.id, why))
    chosen: list[Record] = []
    for fitting in by_species.values():
        most = criteria.per_species or len(fitting)
        order = spread(fitting) if most < len(fitting) else fitting
        chosen += order[:most]
        left_out += [LeftOut(r.id, f"beyond the {most} of its species") for r in order[most:]]
    return Selected(
        sorted(chosen, key=lambda r: r.id), sorted(left_out, key=lambda record: record.id)
    )


Check: TypeAlias = Callable[[Record], str | None]


def _checks(criteria: Criteria, competition: Competition) -> list[Check]:
    """Functions that say why a record is left out, or None; the first reason counts."""
    if isinstance(criteria, INaturalist):
        return [
            _file,
            _species,
            *([] if criteria.taxa else [_asked_for(criteria)]),
            _grade(criteria),
            _competition(criteria, competition),
            _reserved,
            _licence(criteria),
        ]
    assert isinstance(criteria, XenoCanto)
    return [
        _file,
        *([] if criteria.pseudo_species else [_species]),
        _asked_for(criteria),
        _competition(criteria, competition),
        _quality(criteria),
        _length(criteria),
        _licence(criteria),
        _type(criteria),
    ]


def _file(record: Record) -> str | None:
    if record.restricted:
        return "recordings of its species are not given away"
    return "the archive names no file" if record.file_url is None else None


def _species(record: Record) -> str | None:
    if record.pseudo_species:
        return f"no species: {record.scientific_name or 'without a name'}"
    return "its species is questioned" if record.status == "questioned" else None


def _asked_for(criteria: Criteria) -> Check:
    """The archive's search takes the beginning of a name for the name."""
    species = set(map(_folded, criteria.species))
    countries = set(map(_folded, criteria.countries if isinstance(criteria, XenoCanto) else ()))

    def check(record: Record) -> str | None:
        if species and _folded(record.scientific_name) not in species:
            return f"not asked for: {record.scientific_name}"
        if countries and _folded(record.country) not in countries:
            return f"not asked for: {record.country or 'no country'}"
        return None

    return check


def _competition(criteria: Criteria, competition: Competition) -> Check:
    names = set(map(_folded, competition.species))

    def check(record: Record) -> str | None:
        if record.id in competition.ids or observation_of(record.url) in competition.observations:
            return "in the competition's training data"
        is_its = _folded(record.scientific_name) in names
        if is_its and criteria.competition == "out":
            return "a species of the competition"
        return (
            "no species of the competition"
            if not is_its and criteria.competition == "only"
            else None
        )

    return check


def _quality(criteria: XenoCanto) -> Check:
    least = rating(criteria.min_quality) or 0.0

    def check(record: Record) -> str | None:
        has = rating(record.quality)
        if has is None:
            return None if criteria.unrated else "unrated"
        return f"quality {record.quality}" if has < least else None

    return check


def _length(criteria: XenoCanto) -> Check:
    def check(record: Record) -> str | None:
        if record.length_s is None:
            return "its length is not said"
        if record.length_s < criteria.min_s:
            return "shorter than min_s"
        longer = criteria.max_s is not None and record.length_s > criteria.max_s
        return "longer than max_s" if longer else None

    return check


def _grade(criteria: INaturalist) -> Check:
    def check(record: Record) -> str | None:
        wanted = record.status in criteria.quality_grades
        return None if wanted else f"quality grade {record.status or 'not said'}"

    return check


def _reserved(record: Record) -> str | None:
    """Without a licence all rights of a sound are reserved, whatever else is excluded."""
    if not record.licence:
        return "all rights reserved"
    return None if record.licence.startswith(("cc", "pd")) else f"licence {record.licence}"


def _licence(criteria: Criteria) -> Check:
    def check(record: Record) -> str | None:
        if not criteria.exclude_licenses:
            return None
        if not record.licence.startswith(("cc", "pdm")):
            return f"licence {record.licence or 'not said'}"
        parts = set(re.split(r"[ -]", record.licence))
        return f"licence {record.licence}" if parts & set(criteria.exclude_licenses) else None

    return check


def _type(criteria: XenoCanto) -> Check:
    wishes = [_words(text) for text in criteria.types]

    def check(record: Record) -> str | None:
        if not wishes or any(wish <= _words(t) for t in record.types for wish in wishes):
            return None
        return f"type {', '.join(record.types) or 'not said'}"

    return check


def _words(text: str) -> set[str]:
    """The words of a type; calls are a call."""
    return {word.rstrip("s") for word in re.findall(r"\w+", text.casefold())}


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


Group: TypeAlias = Callable[[Record], Hashable]
GROUPS: tuple[Group, ...] = (
    lambda record: _folded(record.recordist),
    lambda record: _folded(record.country),
    lambda record: frozenset(record.types),
)


def spread(records: Sequence[Record], groups: Sequence[Group] = GROUPS) -> list[Record]:
    """Records in the order in which to take them, as far as one goes.

    Round by round one of each recordist; in a round, one of each country first, and of these one
    of each type. Better rated ones come before others, and then chance, fixed by the id, decides.
    """
    if not groups or len(records) < 2:
        return sorted(records, key=_by_merit)
    members: dict[Hashable, list[Record]] = defaultdict(list)
    for record in records:
        members[groups[0](record)].append(record)
    rounds: dict[int, list[Record]] = defaultdict(list)
    for group in members.values():
        for number, record in enumerate(spread(group, groups[1:])):
            rounds[number].append(record)
    return [r for number in sorted(rounds) for r in spread(rounds[number], groups[1:])]


def _by_merit(record: Record) -> tuple[float, int, int]:
    # Knuth's multiplicative hash: neither the oldest nor the newest ids come first.
    return -(rating(record.quality) or 0.0), record.id * 2654435761 % 2**32, record.id
