"""iNaturalist's answers: observations to records, page after page, and what of them is chosen."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from birdcore.archives import inaturalist
from birdcore.archives.client import Archive, open_archive
from birdcore.archives.download import fetch_all
from birdcore.archives.errors import ArchiveError, Refused
from birdcore.archives.fields import RecordError
from birdcore.archives.folder import collected, failures, folder_of
from birdcore.archives.inaturalist import parse_observation, queries_of, search
from birdcore.archives.record import Record, archive_name, inaturalist_id, observation_of
from birdcore.archives.selection import Competition, select
from birdcore.config import INaturalist
from birdcore.demo.archive.api import Reply
from tests.support.archive import Fault, Faults, Served
from tests.support.observations import ObservationApi, observation, serve_observations, sound

NO_COMPETITION = Competition()


def wanted(**settings: Any) -> INaturalist:
    return INaturalist(**{"species": ("Pipistrellus pipistrellus",), **settings})


(QUERY,) = queries_of(wanted())


@contextmanager
def asking(
    observations: list[dict[str, Any]], folder: Path = Path(), *faults: Fault
) -> Iterator[tuple[Archive, Served]]:
    with (
        serve_observations(folder, observations, Faults(faults)) as served,
        open_archive(served.url, "", lambda: None, retries=4, sleep=lambda _: None) as archive,
    ):
        yield archive, served
    assert served.leaked == []


def test_there_is_a_query_for_each_species_and_one_for_all_taxa() -> None:
    criteria = INaturalist(
        species=("Parus major", "Hyla arborea"), taxa=(20978, 3), places=(7196,),
        boxes=((-12.5, -70.0, -10.0, -69.123456),), quality_grades=("research", "needs_id"),
    )  # fmt: skip
    rest = "place_id=7196&swlat=-12.5&swlng=-70&nelat=-10&nelng=-69.123456"
    assert queries_of(criteria) == [
        f"{taxon}&{rest}&quality_grade=needs_id,research"
        for taxon in ("taxon_name=Parus+major", "taxon_name=Hyla+arborea", "taxon_id=20978,3")
    ]


def test_each_sound_of_an_observation_is_a_record() -> None:
    raw = observation(84681407, [sound(263113, "cc-by-nc"), sound(263114, None, ".m4a")])
    one, two = parse_observation(raw)
    assert one == Record(
        id=263113,
        scientific_name="Pipistrellus pipistrellus",
        common_name="Common Pipistrelle",
        group="Mammalia",
        recordist="Lis Tener",
        locality="Oxfordshire, England, GB",
        latitude=51.601234,
        longitude=-1.122952,
        date="2021-06-25",
        year=2021,
        month=6,
        licence="cc-by-nc",
        url="https://www.inaturalist.org/observations/84681407",
        file_url="https://static.inaturalist.org/sounds/263113.wav?1624793769",
        suffix=".wav",
        remarks="(c) Lis Tener, some rights reserved",
        status="research",
    )
    assert (two.id, two.licence, two.suffix) == (263114, "", ".m4a")


@pytest.mark.parametrize(
    ("name", "rank", "species", "subspecies", "pseudo"),
    [
        ("Parus major", "species", "Parus major", "", False),
        ("Gorilla gorilla gorilla", "subspecies", "Gorilla gorilla", "gorilla", False),
        ("Passer", "genus", "Passer", "", True),
        ("Anas crecca × carolinensis", "hybrid", "Anas crecca × carolinensis", "", True),
        ("Passer × italiae", "species", "Passer × italiae", "", True),
        ("Rana", "species", "Rana", "", True),
        (None, None, "", "", True),
    ],
)
def test_classes_are_species(
    name: str | None, rank: str | None, species: str, subspecies: str, pseudo: bool
) -> None:
    taxon = {"name": name, "rank": rank} if name else None
    (record,) = parse_observation(observation(1, [sound(2)], taxon=taxon))
    assert (record.scientific_name, record.subspecies) == (species, subspecies)
    assert record.pseudo_species is pseudo


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"location": "-17.5, 30"}, (-17.5, 30.0)),
        ({"obscured": True}, (None, None)),
        ({"geoprivacy": "private", "location": None}, (None, None)),
        ({"taxon_geoprivacy": "obscured"}, (None, None)),
        ({"location": "95,200"}, (None, None)),
        ({"location": [51.6, -1.1]}, (None, None)),
    ],
)
def test_a_place_that_was_moved_is_not_said(changes: dict[str, Any], place: object) -> None:
    (record,) = parse_observation(observation(1, [sound(2)], **changes))
    assert (record.latitude, record.longitude) == place


def test_what_is_odd_costs_one_sound_or_one_field_and_no_more() -> None:
    odd = [None, {"id": "x"}, sound(3, file_url="file:///etc/passwd"), sound(4, flags=7), sound(5)]
    raw = observation(1, odd, user={"login": "me", "name": None}, observed_on=[1], taxon=["x"])  # type: ignore[list-item]
    records = parse_observation(raw)
    assert [(r.id, r.file_url is not None) for r in records] == [(3, False), (4, True), (5, True)]
    assert {(r.recordist, r.date) for r in records} == {("me", "")}
    assert parse_observation(observation(1, sounds=[])) == []
    for bad in (None, [], {"id": 0}, {"id": True}):
        with pytest.raises(RecordError):
            parse_observation(bad)


def test_pages_follow_by_id_and_each_sound_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENO_CANTO_KEY", "loopback")
    listed = [observation(10 * n, [sound(n), sound(100 + n)]) for n in range(1, 6)]
    said: list[tuple[int, int, str]] = []
    with asking(listed) as (archive, served):
        found = search(archive, QUERY, lambda *line: said.append(line), per_page=2)
    assert [r.id for r in found] == [1, 101, 2, 102, 3, 103, 4, 104, 5, 105]
    paths = [path for _, path, _ in served.log]
    assert [path.partition("id_above=")[2] for path in paths] == [
        f"{above}&per_page=2" for above in (0, 20, 40)
    ]
    assert said == [(1, 3, "4 sounds"), (2, 3, "8 sounds"), (3, 3, "10 sounds")]
    with asking([]) as (archive, _):
        assert search(archive, QUERY) == []


def test_passing_failures_are_asked_again() -> None:
    listed = [observation(n, [sound(n)]) for n in (1, 2, 3)]
    faults = [Fault(kind) for kind in ("429-retry-after", "503", "html", "cut")]
    with asking(listed, Path(), *faults) as (archive, served):
        assert len(search(archive, QUERY, per_page=1)) == 3
    assert len(served.log) == 3 + len(faults)


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([{"results": {}}], "answers without a list of observations"),
        ([{"results": [1, {"id": "x"}], "total_results": 2}], "or none with an id"),
        ([{"results": [{"id": 5}], "total_results": 9}] * 2, "lists again what it has listed"),
        ([{"results": [{"id": 5}], "total_results": 9}, {"results": []}], "listed 1 of 9"),
        ([[]], "answers without a list"),
    ],
)
def test_answers_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, pages: list[Any], says: str
) -> None:
    answers = iter([*pages, *[pages[-1]] * 9])
    monkeypatch.setattr(
        ObservationApi,
        "_observations",
        lambda *_: Reply(200, json.dumps(next(answers)).encode()),
    )
    with asking([]) as (archive, _), pytest.raises(ArchiveError, match=says):
        search(archive, QUERY)


def test_a_search_that_would_use_up_the_archives_day_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inaturalist, "MOST_PAGES", 2)
    listed = [observation(n, [sound(n)]) for n in (1, 2, 3)]
    with asking(listed) as (archive, _), pytest.raises(Refused, match="ask for fewer taxa"):
        search(archive, QUERY, per_page=1)


def why(raw: dict[str, Any], its: Competition = NO_COMPETITION, **settings: Any) -> str | None:
    """Why the first sound of an observation is left out, None where it is chosen."""
    selected = select(parse_observation(raw)[:1], wanted(**settings), its)
    return selected.left_out[0].why if selected.left_out else None


@pytest.mark.parametrize(
    ("raw", "settings", "reason"),
    [
        (observation(1, [sound(2)]), {}, None),
        (observation(1, [sound(2, "cc0")]), {"exclude_licenses": ("nc", "nd")}, None),
        (observation(1, [sound(2, None)]), {}, "all rights reserved"),
        (observation(1, [sound(2, "gfdl")]), {}, "licence gfdl"),
        (
            observation(1, [sound(2, "cc-by-nc-sa")]),
            {"exclude_licenses": ("nc",)},
            "licence cc-by-nc-sa",
        ),
        (observation(1, [sound(2, file_url=None)]), {}, "the archive names no file"),
        (observation(1, [sound(2, hidden=True)]), {}, "the archive names no file"),
        (
            observation(1, [sound(2, flags=[{"flag": "copyright", "resolved": False}])]),
            {},
            "the archive names no file",
        ),
        (observation(1, [sound(2, flags=[{"resolved": True}])]), {}, None),
        (observation(1, [sound(2)], quality_grade="needs_id"), {}, "quality grade needs_id"),
        (
            observation(1, [sound(2)], quality_grade="needs_id"),
            {"quality_grades": ("research", "needs_id")},
            None,
        ),
        (observation(1, [sound(2)], taxon=None), {}, "no species: without a name"),
        (observation(1, [sound(2)]), {"species": ("Parus major",)},
         "not asked for: Pipistrellus pipistrellus"),
        (observation(1, [sound(2)]), {"species": ("Parus major",), "taxa": (1,)}, None),
    ],
)  # fmt: skip
def test_the_reason_for_leaving_a_sound_out(
    raw: dict[str, Any], settings: dict[str, Any], reason: str | None
) -> None:
    assert why(raw, **settings) == reason


def test_what_the_competition_has_is_left_out_by_sound_and_by_observation() -> None:
    raw = observation(900, [sound(7)])
    assert why(raw, Competition(ids=frozenset({900}))) is None, "another kind of number"
    reason = "in the competition's training data"
    assert why(raw, Competition(ids=frozenset({7}))) == reason
    assert why(raw, Competition(observations=frozenset({900}))) == reason
    species = Competition(species=frozenset({"pipistrellus  pipistrellus"}))
    assert why(raw, species) == "a species of the competition"
    assert why(raw, species, competition="any") is None


@pytest.mark.parametrize(
    ("text", "its_sound", "its_observation"),
    [
        ("1139504/iNat1200010.ogg", 1200010, None),
        ("https://www.inaturalist.org/observations/900010", None, 900010),
        ("https://inaturalist.ca/observations/17?tab=x", None, 17),
        ("https://www.naturalista.mx/observations/18", None, 18),
        ("https://static.inaturalist.org/sounds/5.m4a?1624", 5, None),
        ("https://inaturalist-open-data.s3.amazonaws.com/sounds/6.wav", 6, None),
        ("x/combinat12.ogg", None, None),
        ("https://xeno-canto.org/7", None, None),
    ],
)
def test_numbers_are_found_in_names_and_addresses(
    text: str, its_sound: int | None, its_observation: int | None
) -> None:
    assert (inaturalist_id(text), observation_of(text)) == (its_sound, its_observation)
    if its_sound is not None:
        assert archive_name(text) == f"iNat{its_sound}"


def test_sounds_are_downloaded_beside_those_of_the_other_archive(
    recordings: Path, tmp_path: Path
) -> None:
    served_from = tmp_path / "sounds"
    served_from.mkdir()
    for number, name in ((1, "XC3.wav"), (2, "XC2.flac")):
        suffix = Path(name).suffix
        (served_from / f"{number}{suffix}").write_bytes((recordings / "audio" / name).read_bytes())
    listed = [observation(9, [sound(1), sound(2, suffix=".flac"), sound(3)])]
    folder = folder_of(tmp_path / "collection", "inaturalist")
    faults = (Fault("cut", "/sounds/1.wav*"), Fault("429-retry-after", "/sounds/2*"))
    with asking(listed, served_from, *faults) as (archive, _):
        result = fetch_all(archive, search(archive, QUERY), folder)
        assert [f.name for f in result.fetched] == ["iNat1.wav", "iNat2.flac"]
        (reason,) = dict(result.metrics["unusable"]).values()  # type: ignore[call-overload]
        assert reason.endswith("/sounds/3.wav is not there")
        again = fetch_all(archive, search(archive, QUERY), folder)
    assert (len(again.fetched), len(again.there)) == (0, 2)
    assert list(collected(folder)) == [1, 2]
    assert list(failures(folder)) == [3]
    assert collected(folder.parent) == {}
    assert sorted(path.name for path in (folder / "recordings").iterdir()) == [
        "iNat1.wav", "iNat2.flac"
    ]  # fmt: skip


def test_a_collection_can_not_have_the_name_of_the_folder_in_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give another --collection"):
        folder_of(tmp_path / "inaturalist", "xeno_canto")
