import json
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from birdcore.archives.record import Record, parse_record
from birdcore.archives.selection import Competition, select, spread
from birdcore.config.xeno_canto import XenoCanto
from birdcore.sources.collection import competition_of
from birdcore.sources.duplicates import by_id
from birdcore.sources.tables import read_tables

NO_COMPETITION = Competition()
FINE = Record(
    7,
    "Turdus merula",
    recordist="Ann",
    country="Peru",
    types=("song",),
    quality="B",
    length_s=30.0,
    licence="cc-by-nc-sa 4.0",
    file_url="https://xeno-canto.org/7/download",
)


def wanted(**settings: Any) -> XenoCanto:
    return XenoCanto(**{"areas": ("europe",), **settings})


def why(record: Record, its: Competition = NO_COMPETITION, **settings: Any) -> str | None:
    """Why the record is left out, None where it is chosen."""
    selected = select([record], wanted(**settings), its)
    if selected.chosen:
        assert selected.chosen == [record]
        assert selected.left_out == []
        return None
    (left_out,) = selected.left_out
    assert left_out.id == record.id
    return left_out.why


MERULA = Competition(frozenset({"Turdus merula"}), frozenset({9}))
CASES: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {}, None),
    ({"restricted": True}, {}, "recordings of its species are not given away"),
    ({"file_url": None}, {}, "the archive names no file"),
    ({"pseudo_species": True, "scientific_name": ""}, {}, "no species: without a name"),
    ({"pseudo_species": True}, {"pseudo_species": True}, None),
    ({"status": "questioned"}, {}, "its species is questioned"),
    ({"status": "identified"}, {}, None),
    ({"scientific_name": "Turdus merulinus"}, {"species": ("Turdus merula",)},
     "not asked for: Turdus merulinus"),
    ({}, {"species": ("turdus MERULA", "Parus major")}, None),
    ({"country": "Nigeria"}, {"countries": ("Niger",)}, "not asked for: Nigeria"),
    ({"country": ""}, {"countries": ("Niger",)}, "not asked for: no country"),
    ({}, {"countries": ("peru",)}, None),
    ({"quality": "C"}, {}, None),
    ({"quality": "D"}, {}, "quality D"),
    ({"quality": "D"}, {"min_quality": "E"}, None),
    ({"quality": "B"}, {"min_quality": "A"}, "quality B"),
    ({"quality": ""}, {}, "unrated"),
    ({"quality": ""}, {"unrated": True}, None),
    ({"length_s": None}, {}, "its length is not said"),
    ({"length_s": 0.0}, {"min_s": 0.0}, None),
    ({"length_s": 0.9}, {}, "shorter than min_s"),
    ({}, {"min_s": 30.0, "max_s": 30.0}, None),
    ({}, {"max_s": 29.0}, "longer than max_s"),
    ({}, {"exclude_licenses": ("nd",)}, None),
    ({}, {"exclude_licenses": ("nd", "nc")}, "licence cc-by-nc-sa 4.0"),
    ({"licence": "cc-by-nc-nd 2.5"}, {"exclude_licenses": ("nd",)}, "licence cc-by-nc-nd 2.5"),
    ({"licence": "cc0 1.0"}, {"exclude_licenses": ("nd", "nc")}, None),
    ({"licence": "pdm 1.0"}, {"exclude_licenses": ("nd", "nc")}, None),
    ({"licence": ""}, {"exclude_licenses": ("nd",)}, "licence not said"),
    ({"licence": "ask me"}, {"exclude_licenses": ("nd",)}, "licence ask me"),
    ({"licence": ""}, {}, None),
    ({"types": ("flight calls",)}, {"types": ("song", "call")}, None),
    ({"types": ("subsong", "drumming")}, {"types": ("song", "call")}, "type subsong, drumming"),
    ({"types": ("alarm call", "song (golden)")}, {"types": ("Song",)}, None),
    ({"types": ("alarm call",)}, {"types": ("flight call",)}, "type alarm call"),
    ({"types": ()}, {"types": ("song",)}, "type not said"),
]  # fmt: skip


@pytest.mark.parametrize(("has", "settings", "reason"), CASES)
def test_a_record_is_chosen_or_left_out_with_a_reason(
    has: dict[str, Any], settings: dict[str, Any], reason: str | None
) -> None:
    assert why(replace(FINE, **has), **settings) == reason


@pytest.mark.parametrize(
    ("has", "mode", "reason"),
    [
        ({}, "out", "a species of the competition"),
        ({}, "only", None),
        ({}, "any", None),
        ({"scientific_name": "Parus major"}, "out", None),
        ({"scientific_name": "Parus major"}, "only", "no species of the competition"),
        ({"scientific_name": "Parus major"}, "any", None),
        *[
            ({"id": 9}, mode, "in the competition's training data")
            for mode in ("out", "only", "any")
        ],
        ({"id": 9, "scientific_name": "Parus major"}, "any", "in the competition's training data"),
    ],
)
def test_the_competition_is_kept_apart(has: dict[str, Any], mode: str, reason: str | None) -> None:
    assert why(replace(FINE, **has), MERULA, competition=mode) == reason
    other = Competition(frozenset({"TURDUS  merula"}), MERULA.ids)
    assert why(replace(FINE, **has), other, competition=mode) == reason


def test_the_real_recordings_of_the_competition_are_left_out(shared_data: Path) -> None:
    listed = json.loads((shared_data / "xeno-canto" / "recordings.json").read_text())
    records = [parse_record(raw) for raw in listed]
    competition = competition_of(read_tables(shared_data / "birdclef-mini"), wanted())
    assert (len(competition.species), len(competition.ids)) == (26, 148)
    everything = {"unrated": True, "min_quality": "E", "min_s": 0.0}
    for mode, count in (("out", 106), ("only", 7), ("any", 113)):
        selected = select(records, wanted(**everything, competition=mode), competition)
        assert len(selected.chosen) == count
        reasons = Counter(left_out.why for left_out in selected.left_out)
        assert reasons["in the competition's training data"] == 7
        assert len(selected.left_out) == 120 - count


def test_ids_are_found_in_names_and_addresses(data: Path) -> None:
    train = pd.read_csv(data / "train.csv", dtype=str, keep_default_na=False)
    train["url"] = ""
    train.loc[0, "filename"] = "plawhi/XC123.ogg"
    train.loc[1, "url"] = "https://www.xeno-canto.org/456"
    train.loc[2, "url"] = "https://xeno-canto.org/XC789/download"
    train.loc[3, "filename"] = "plawhi/iNat1000.ogg"
    train.loc[4, "url"] = "https://www.inaturalist.org/observations/1001"
    train.loc[5, "filename"] = "plawhi/song-XC1002.ogg"
    train.to_csv(data / "train.csv", index=False)
    competition = competition_of(read_tables(data), wanted())
    assert competition.ids == {123, 456, 789, 1002}
    known = zip(train["filename"], train["url"], strict=True)
    leaks = by_id({str(number): f"XC{number}" for number in competition.ids}, known)
    assert {int(leak.recording) for leak in leaks} == competition.ids, "as the stage leaks does"


def test_they_are_spread_over_recordists_then_countries_then_types() -> None:
    def record(number: int, by: str, country: str, kind: str, quality: str = "B") -> Record:
        return replace(
            FINE, id=number, recordist=by, country=country, types=(kind,), quality=quality
        )

    records = [
        *[record(n, "Ann", "Peru", "song", "A") for n in range(10, 40)],
        record(1, "Ann", "Chile", "song"),
        record(2, "Ann", "Peru", "call"),
        record(3, "Bea", "Peru", "song"),
        record(4, "Cem", "Peru", "call"),
        record(5, "Dan", "Cuba", "song", "C"),
    ]

    def chosen(most: int) -> set[int]:
        selected = select(records, wanted(per_species=most), NO_COMPETITION)
        assert {left.why for left in selected.left_out} == {f"beyond the {most} of its species"}
        return {r.id if r.id < 10 else 10 for r in selected.chosen}

    assert chosen(1) == {10}  # the best
    assert chosen(2) == {10, 5}  # another recordist, of another country
    assert chosen(3) == {10, 5, 4}  # another recordist, of another type
    assert chosen(4) == {10, 5, 4, 3}
    assert chosen(5) == {10, 5, 4, 3, 1}  # again Ann, in another country
    assert len(select(records, wanted(per_species=7), NO_COMPETITION).chosen) == 7
    assert chosen(7) >= {10, 5, 4, 3, 1, 2}


def test_real_recordings_are_spread(shared_data: Path) -> None:
    page = json.loads((shared_data / "xeno-canto-api" / "v3_turdus_merula_page1.json").read_text())
    records = [parse_record(raw) for raw in page["recordings"]]
    selected = select(records, wanted(per_species=17), NO_COMPETITION)
    assert len({r.recordist for r in selected.chosen}) == 17
    assert len({r.country for r in selected.chosen}) >= 15
    first = {r.recordist for r in records[:17]}
    assert len(first) < 17  # the first 17 would not have been


def names(alphabet: str) -> st.SearchStrategy[str]:
    return st.sampled_from(list(alphabet))


record = st.builds(
    replace,
    st.just(FINE),
    id=st.integers(1, 10_000),
    scientific_name=st.sampled_from(["Turdus merula", "Turdus pilaris", "Sonus naturalis"]),
    recordist=names("abcdef"),
    country=names("xyz"),
    types=st.lists(names("sc"), max_size=2, unique=True).map(tuple),
    quality=names("ABCD"),
    length_s=st.none() | st.floats(0, 60),
    file_url=st.none() | st.just("https://x/1"),
)
records = st.lists(record, max_size=40, unique_by=lambda r: r.id)
limits = st.none() | st.integers(1, 8)


@given(records, limits)
def test_every_record_is_chosen_or_has_a_reason(listed: list[Record], most: int | None) -> None:
    selected = select(listed, wanted(per_species=most), MERULA)
    ids = [r.id for r in selected.chosen] + [left.id for left in selected.left_out]
    assert sorted(ids) == sorted(r.id for r in listed)
    assert all(left.why for left in selected.left_out)
    assert [r.id for r in selected.chosen] == sorted(r.id for r in selected.chosen)
    per_species = Counter(r.scientific_name for r in selected.chosen)
    fitting = Counter(r.scientific_name for r in select(listed, wanted(), MERULA).chosen)
    assert per_species == {name: min(n, most or n) for name, n in fitting.items()}


@given(st.data(), records, limits)
def test_the_choice_hangs_on_no_order_and_no_repeats(
    data: st.DataObject, listed: list[Record], most: int | None
) -> None:
    other = data.draw(st.permutations(listed)) + listed[:3]
    settings = wanted(per_species=most)
    assert select(other, settings, MERULA) == select(listed, settings, MERULA)


same_species = st.lists(
    st.builds(
        replace,
        st.just(FINE),
        id=st.integers(1, 10_000),
        recordist=names("abcdefgh"),
        country=names("xyz"),
        types=st.sampled_from([(), ("song",), ("call",), ("call", "song")]),
        quality=names("ABC"),
    ),
    min_size=2,
    max_size=60,
    unique_by=lambda r: r.id,
)


@given(same_species, st.integers(1, 20))
def test_one_record_more_exchanges_few(listed: list[Record], most: int) -> None:
    old = listed[1:]
    settings = wanted(per_species=most)
    before = {r.id for r in select(old, settings, NO_COMPETITION).chosen}
    after = {r.id for r in select(listed, settings, NO_COMPETITION).chosen}
    assert len(before - after) <= 5  # a million random choices lost 4 at most, and mostly 0 or 1


@given(same_species, st.integers(1, 20))
def test_a_smaller_choice_is_part_of_a_larger_one(listed: list[Record], most: int) -> None:
    def chosen(count: int) -> set[int]:
        selected = select(listed, wanted(per_species=count), NO_COMPETITION)
        return {r.id for r in selected.chosen}

    assert chosen(most) <= chosen(most + 1)


@given(same_species, st.integers(1, 20))
def test_no_recordist_has_two_more_than_another_that_has_more(
    listed: list[Record], most: int
) -> None:
    order = spread(listed)
    assert sorted(r.id for r in order) == sorted(r.id for r in listed)
    assert is_even(order[:most], order[most:], lambda r: r.recordist)
    one_each = order[: len({r.recordist for r in listed})]
    assert is_even(one_each[:most], one_each[most:], lambda r: r.country)


def is_even(chosen: list[Record], rest: list[Record], group: Callable[[Record], Hashable]) -> bool:
    """Whether groups that could give more are at most one short of any other."""
    has = Counter(map(group, chosen))
    return all(max(has.values()) - has[name] <= 1 for name in map(group, rest))


@given(same_species)
def test_the_best_of_a_group_comes_first(listed: list[Record]) -> None:
    alike = [replace(r, recordist="a", country="x", types=("song",)) for r in listed]
    qualities = [r.quality for r in spread(alike)]
    assert qualities == sorted(qualities)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "says not which recordings"),
        ({"species": ("Turdus",)}, "species"),
        ({"species": ('Turdus "merula',)}, "species"),
        ({"countries": (" ",)}, "countries"),
        ({"queries": ("",)}, "queries"),
        ({"boxes": ((10.0, 0.0, 0.0, 5.0),)}, "south, west, north, east"),
        ({"areas": ("europe",), "min_s": 5.0, "max_s": 4.0}, "must not be below min_s"),
        ({"areas": ("europe",), "site": "xeno-canto.org"}, "must be like https"),
        ({"areas": ("europe",), "per_second": 0.0}, "per_second"),
        ({"areas": ("europe",), "exclude_licenses": ("by",)}, "exclude_licenses"),
        ({"areas": ("europe",), "key": "k"}, "key"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        XenoCanto(**settings)
