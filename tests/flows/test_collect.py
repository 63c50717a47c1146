"""Collecting from an archive on loopback, with a Prefect server: what is asked for, what is not."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest

from birdcore.archives.errors import KEY_NAME
from birdcore.archives.folder import collected, failures
from birdcore.archives.search import PER_PAGE
from birdcore.demo.archive import KEY
from flows.cli import main
from tests.support.records import generated
from tests.support.site import counts

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]
Said: TypeAlias = pytest.CaptureFixture[str]
Commands: TypeAlias = Callable[..., list[tuple[int, str]]]


def test_all_that_is_wanted_comes_and_the_second_time_nothing_is_asked(
    site: Any, capsys: Said
) -> None:
    assert main(site.arguments()) == 0
    count, said = len(site.records), counts(capsys)
    assert (said["wanted"], said["fetched"], said["not_there"]) == (count, count, 0)
    assert site.asked == {"search": 1, "file": count}
    assert len(collected(site.collection)) == count
    asked = site.asked
    assert main(site.arguments()) == 0
    said = counts(capsys)
    assert (said["wanted"], said["fetched"], said["bytes"]) == (count, 0, 0)
    assert site.asked == asked
    assert site.served.leaked == []


def test_what_is_there_is_there_for_other_wishes_too(site: Any) -> None:
    assert main(site.arguments()) == 0
    assert main(site.arguments("collect", "--set", 'xeno_canto.min_quality="D"')) == 0
    assert site.asked == {"search": 1, "file": len(site.records)}


def test_a_listing_of_several_pages_is_read_to_its_end(site: Any, capsys: Said) -> None:
    count = PER_PAGE + 10
    site.lists([{**raw, "grp": "birds", "q": "E"} for raw in generated(count, 0)])
    assert main(site.arguments()) == 0
    assert counts(capsys)["left_out"] == count
    assert site.asked == {"search": 2}


def test_one_that_is_gone_or_not_given_away_stops_nothing(site: Any, capsys: Said) -> None:
    gone, kept, *others = site.records
    (site.shelf / "audio" / gone["file-name"]).unlink()
    site.lists([gone, {**kept, "file": None}, *others])
    assert main(site.arguments()) == 0
    said = counts(capsys)
    assert (said["left_out"], said["fetched"], said["not_there"]) == (1, len(others), 1)
    assert list(failures(site.collection)) == [int(gone["id"])]
    (table,) = site.collection.glob("selections/*/failed.csv")
    (reason,) = pd.read_csv(table)["why"]
    assert reason.endswith(f"{gone['id']}/download is not there")
    # It may have been a bad night of the archive's: the next one asks again.
    asked = site.asked
    assert main(site.arguments()) == 0
    assert site.asked - asked == {"file": 1}


def test_where_nothing_can_be_had_it_fails_and_nothing_is_lost(site: Any, capsys: Said) -> None:
    audio = site.shelf / "audio"
    audio.rename(audio.with_name("away"))
    audio.mkdir()
    assert main(site.arguments()) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"none of {len(site.records)} recordings could be had" in error
    assert "is not there" in error
    audio.rmdir()
    audio.with_name("away").rename(audio)
    assert main(site.arguments()) == 0
    assert counts(capsys)["fetched"] == len(site.records)


@pytest.mark.usefixtures("in_haste")
def test_an_archive_that_goes_down_is_left_alone_and_the_next_run_goes_on(
    site: Any, capsys: Said
) -> None:
    site.faults.add(*[None] * 5)  # the search and four files go well
    site.faults.rate, site.faults.kinds = 1.0, ("503",)
    assert main(site.arguments()) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("birdflow: 3 of 14 recordings could not be fetched; the first: XC")
    assert "answers with status 503" in error
    assert len(collected(site.collection)) == 4
    # Three tries of the task, each of three recordings that were asked for six times.
    assert site.asked["file"] == 4 + 3 * 3 * 6
    site.faults.rate = 0.0
    asked = site.asked
    assert main(site.arguments()) == 0
    assert site.asked - asked == {"file": len(site.records) - 4}


def test_what_is_wrong_is_told_plainly(
    open_site: Callable[..., Any], commands: Commands, tmp_path: Path, tiny_recipe: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
        with open_site(tmp_path) as site:
            host = site.served.url.removeprefix("http://")
            other = [str(tiny_recipe) if "tiny-pre" in a else a for a in site.arguments()[:-2]]
            down = site.arguments("collect", "--set", f'xeno_canto.site="http://{closed}"')
            query = site.arguments("collect", "--set", 'xeno_canto.queries=["song"]')
            said = commands(
                (None, False, site.arguments()),
                ("another", False, site.arguments()),
                (KEY, False, query),
                (KEY, False, down),
                (KEY, False, other),
                (KEY, True, site.arguments()),
                (KEY, False, site.arguments("plan")),
            )
            assert site.asked["file"] == 0
    assert [code for code, _ in said] == [1] * 7
    told = [
        [line for line in words.splitlines() if line.startswith("birdflow: ")] for _, words in said
    ]
    assert [len(lines) for lines in told] == [1] * 7
    words = [line.removeprefix("birdflow: ") for (line,) in told]
    assert words[0].startswith(
        f"http://{host} can't be searched without a key: set {KEY_NAME}, or keep it as Secret"
    )
    assert words[1].startswith(f"{host} does not take the key: set {KEY_NAME} to that of your")
    assert words[2].startswith(f"{host} refuses the query 'song': Query text must use tags")
    assert words[3] == f"{closed}: no connection: Connection refused; asked 6 times"
    assert words[4].startswith(f"{tiny_recipe} has no table [xeno_canto] or [inaturalist]")
    assert words[5].startswith(f"no room for more in {site.collection}, where 1.1 GB are to stay")
    assert "run birdflow collect with this recipe" in words[6]
    assert not any("Traceback" in text for _, text in said)
