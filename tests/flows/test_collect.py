"""Collecting from an archive on loopback, with a Prefect server: what is asked for, what is not."""

import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest

from birdcore.archives.errors import KEY_NAME
from birdcore.archives.folder import collected, failures
from birdcore.archives.search import PER_PAGE
from birdcore.config import read_recipe
from birdcore.demo.archive import KEY
from birdcore.demo.uploads import LEAKS
from birdcore.sources.birdclef import scan
from birdcore.sources.source import extra_sources
from birdcore.store.artifact import MANIFEST, Ref
from birdcore.store.store import Store
from flows.cli import main
from flows.dag import Dag, build_dag
from flows.plan import plan
from flows.selection import Selection
from tests.support.records import generated

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]
NEW = 3
OLD_SEARCHES = ("--set", "xeno_canto.search_age_h=0")
Said: TypeAlias = pytest.CaptureFixture[str]
Commands: TypeAlias = Callable[..., list[tuple[int, str]]]


def counts(said: Said) -> dict[str, int]:
    """What `birdflow collect` says last: wanted, left_out, fetched, bytes, not_there; and where its
    tables are."""
    *lines, tables = said.readouterr().out.splitlines()[-6:]
    assert all(Path(path).is_file() for path in tables.removeprefix("tables").strip().split(", "))
    return {name: int(count) for name, count in map(str.split, lines)}


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


@pytest.fixture(scope="module")
def trained(
    open_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A whole run with a pretraining round; the archive keeps `NEW` recordings for later."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(KEY_NAME, KEY)
        with open_site(tmp_path_factory.mktemp("trained")) as site:
            site.lists(site.records[:-NEW])
            assert main(site.arguments("run")) == 0
            yield site


def made(store: Path) -> dict[str, int]:
    """When each artifact was made, by stage and key."""
    return {
        str(path.parent.relative_to(store)): path.stat().st_mtime_ns
        for path in store.glob(f"*/*/{MANIFEST}")
    }


def test_a_run_pretrains_on_the_archive_and_says_whose_recordings_these_are(trained: Any) -> None:
    out = trained.folder / "out"
    written = {path.name for path in out.iterdir()}
    assert {"submission.csv", "scores.json", "ATTRIBUTION.csv", "MODEL_CARD.md"} <= written
    assert not (out / "submission-pretrain.csv").exists()
    submission = pd.read_csv(out / "submission.csv")
    sample = pd.read_csv(trained.data / "sample_submission.csv")
    assert list(submission.columns) == list(sample.columns)
    assert list(submission["row_id"]) == list(sample["row_id"])
    used = pd.read_csv(out / "ATTRIBUTION.csv")
    there = {f"recordings/XC{n}.mp3" for n in collected(trained.collection)}
    from_archive = used[used["recording"].str.startswith("recordings/")]
    assert set(from_archive["recording"]) <= there
    assert len(from_archive)
    records = {f"recordings/XC{raw['id']}.mp3": raw for raw in trained.records}
    for row in from_archive.itertuples():
        assert row.author == records[row.recording]["rec"]
        assert row.license.replace("cc-", "").replace(" ", "/") in records[row.recording]["lic"]
        assert row.url == f"https:{records[row.recording]['url']}"
    assert f"Trained on {len(used)} recordings" in (out / "MODEL_CARD.md").read_text()
    assert "forbid commercial use (NC)" in (out / "MODEL_CARD.md").read_text()


def test_the_competitions_own_recordings_are_found_under_other_names(trained: Any) -> None:
    (left_out,) = (trained.folder / "store" / "collection").glob("*/left_out.parquet")
    leaks = pd.read_parquet(left_out)
    first = [f"recordings/XC{raw['id']}.mp3" for raw in trained.records[:LEAKS]]
    assert sorted(leaks["recording"]) == sorted(first)
    used = pd.read_csv(trained.folder / "out" / "ATTRIBUTION.csv")
    assert not set(used["recording"]) & set(first)


def test_the_second_run_asks_nobody_and_runs_nothing(
    trained: Any, tmp_path: Path, capsys: Said
) -> None:
    asked, before = trained.asked, made(trained.folder / "store")
    assert main(trained.arguments("run", "--out", str(tmp_path))) == 0
    said = capsys.readouterr().out
    assert f"{len(before)} steps, {len(before)} cached, 0 to run" in said
    assert "UI " not in said
    assert trained.asked == asked
    assert made(trained.folder / "store") == before
    for name in ("submission.csv", "ATTRIBUTION.csv", "MODEL_CARD.md"):
        assert (tmp_path / name).read_bytes() == (trained.folder / "out" / name).read_bytes()


@pytest.fixture
def tonight(trained: Any, uploads: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of what the day left; the archive has gained recordings."""
    for name in ("store", "collection"):
        shutil.copytree(trained.folder / name, tmp_path / name)
    before = trained.records
    trained.lists([*before, *all_of(uploads)[-NEW:]])
    yield replace(trained, folder=tmp_path)
    trained.lists(before)


def all_of(uploads: Path) -> list[dict[str, Any]]:
    return list(pd.read_json(uploads / "recordings.json", dtype=False).to_dict("records"))


def dag_of(site: Any) -> tuple[Dag, Store]:
    command = site.arguments("plan")
    recipe = read_recipe(Path(command[1]), [command[-1]])
    store = Store(site.folder / "store")
    source = scan(site.data, store)
    found = extra_sources(recipe, source, site.collection, store)
    return build_dag(recipe, source, store, found, keep_shards=False), store


def test_a_night_fetches_what_is_new_and_remakes_only_what_that_touches(
    tonight: Any, capsys: Said
) -> None:
    before, store = dag_of(tonight)
    assert all(one.cached for one in plan(Selection(before.steps), store))
    asked = tonight.asked
    assert main(tonight.arguments("collect", *OLD_SEARCHES)) == 0
    assert tonight.asked - asked == {"search": 1, "file": NEW}
    said = counts(capsys)
    assert (said["fetched"], said["not_there"]) == (NEW, 0)
    after, store = dag_of(tonight)
    new: set[Ref] = {s.ref for s in after.steps} - {s.ref for s in before.steps}
    stages = Counter(ref.stage for ref in new)
    assert {stage: stages[stage] for stage in ("clean", "mel", "fingerprint", "leaks")} == {
        "clean": 1, "mel": 1, "fingerprint": 1, "leaks": 1,
    }  # fmt: skip
    assert {one.step.ref for one in plan(Selection(after.steps), store) if not one.cached} == new
    (shard,) = [step for step in after.steps if step.ref in new and step.stage == "clean"]
    latest = {f"recordings/XC{raw['id']}.mp3" for raw in tonight.records[-NEW:]}
    assert set(shard.files) == latest


def test_a_night_without_news_remakes_nothing(trained: Any, tmp_path: Path) -> None:
    for name in ("store", "collection"):
        shutil.copytree(trained.folder / name, tmp_path / name)
    tonight = replace(trained, folder=tmp_path)
    asked = tonight.asked
    assert main(tonight.arguments("collect", *OLD_SEARCHES)) == 0
    assert tonight.asked - asked == {"search": 1}
    dag, store = dag_of(tonight)
    assert all(one.cached for one in plan(Selection(dag.steps), store))
