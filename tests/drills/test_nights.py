"""A run that pretrains on an archive's recordings, and the nights after it: what is asked for, what
is made again.

A drill, because it is a whole run with three trainings.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest

from birdcore.archives.errors import KEY_NAME
from birdcore.archives.folder import collected
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
from tests.support.site import counts

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]
NEW = 3
OLD_SEARCHES = ("--set", "xeno_canto.search_age_h=0")
Said: TypeAlias = pytest.CaptureFixture[str]


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
