import pytest

from birdcore.demo.archive.query import BadQuery
from tests.support.archive_query import parse

BLACKBIRD = {
    "id": 551455,
    "gen": "Turdus",
    "sp": "merula",
    "grp": "birds",
    "en": "Common Blackbird",
    "rec": "Ada Formula",
    "cnt": "United Kingdom",
    "lat": "53.1",
    "lon": "-1.5",
    "type": "alarm call, call",
    "q": "B",
    "length": "1:02:03",
    "lic": "//creativecommons.org/licenses/by-nc-sa/4.0/",
    "date": "2015-06-00",
    "uploaded": "2016-01-01",
    "also": ["Parus major"],
    "smp": "48000",
}
UNKNOWN = dict.fromkeys(BLACKBIRD) | {"id": "9", "q": "no score", "length": "?", "also": []}


@pytest.mark.parametrize(
    "query",
    [
        "gen:turdus sp:merula",
        'sp:"turdus merula"',
        'sp:"=merula"',
        "gen:Turd",
        "grp:birds",
        "grp:1",
        'cnt:"united kingdom"',
        "cnt:united",
        "rec:formula",
        "en:blackbird",
        'also:"parus major"',
        'type:"alarm call"',
        'type:"=call"',
        "area:europe",
        "box:50,-3,56,2",
        'lon:"<-1"',
        "lat:50-54",
        "q:B",
        'q:">C"',
        'q:"<A"',
        'len:">3722"',
        'len:"<3724"',
        "len:3723",
        "len:3000-4000",
        "lic:BY-NC-SA",
        "nr:1,551455",
        "nr:551455",
        "nr:551000-551999",
        "year:2015",
        "year:2015-2019",
        'year:">2014" year:"<2016"',
        "month:6",
        "since:2016-01-01",
        "smp:48000",
        'smp:">44100"',
    ],
)
def test_a_fitting_tag_finds_the_record_and_not_one_of_which_nothing_is_known(query: str) -> None:
    fits = parse(query)
    assert fits(BLACKBIRD)
    assert not fits(UNKNOWN)


@pytest.mark.parametrize(
    "query",
    [
        "gen:turdus sp:alba",
        "sp:erula",
        'cnt:"=united"',
        'type:"=alarm"',
        "area:asia",
        "box:50,0,56,2",
        "q:A",
        "q:0",
        'q:">B"',
        'q:"<B"',
        'len:"<3723"',
        'len:">3723"',
        "lic:BY-NC",
        "nr:1,2",
        "year:2014-2016",
        "month:5",
        "since:2016-01-02",
        "since:3",
        "grp:bats",
    ],
)
def test_a_tag_that_does_not_fit_leaves_the_record_out(query: str) -> None:
    assert not parse(query)(BLACKBIRD)


def test_unrated_is_a_quality_of_its_own() -> None:
    assert parse("q:0")(UNKNOWN)
    assert not parse('q:"<A"')(UNKNOWN)


@pytest.mark.parametrize(
    "query",
    [
        "turdus merula",
        "gen:turdus merula",
        "",
        "colour:black",
        "q:>C",
        "q:X",
        "q:AB",
        'q:">0"',
        "len:short",
        "nr:1,two",
        "box:1,2,3",
        "area:mars",
        "since:lately",
        'cnt:"united',
        'cnt:"a"b',
    ],
)
def test_what_the_archive_would_not_read_is_an_error(query: str) -> None:
    with pytest.raises(BadQuery):
        parse(query)
