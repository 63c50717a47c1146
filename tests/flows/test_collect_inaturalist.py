"""Collecting from iNaturalist on loopback, alone and beside Xeno-canto, and what a round reads."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from birdcore.archives.errors import KEY_NAME
from birdcore.archives.folder import collected, folder_of
from birdcore.config import read_recipe
from birdcore.demo.archive import KEY
from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import CatalogInput
from birdcore.sources.source import SOURCES, extra_sources
from birdcore.store.store import Store
from flows.cli import main
from flows.dag import build_dag
from tests.support.archive import Faults, Served
from tests.support.observations import Raw, observation, serve_observations, sound

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("server_settings"),
]
TINY = Path(__file__).parents[1] / "recipes" / "tiny.toml"
RECIPE = """\
base = "{base}"

[inaturalist]
taxa = [1]
competition = "any"
exclude_licenses = ["nd"]
per_second = 50

[[round]]
name = "pretrain-inat"
data = "inaturalist"
backbones = ["test_resnet"]
batch = 4
crop_s = 2.0
folds = [0]
epochs = 1
"""
FROG = {"id": 5, "name": "Hyla arborea", "rank": "species", "ancestor_ids": [1, 5]}
NEWT = {"id": 6, "name": "Triturus cristatus dobrogicus", "rank": "subspecies", "ancestor_ids": [1]}


@dataclass(frozen=True)
class Nature:
    """iNaturalist with a client's folders."""

    served: Served
    faults: Faults
    observations: list[Raw]
    data: Path
    folder: Path
    recipe: Path

    @property
    def sounds(self) -> Path:
        return folder_of(self.folder / "collection", "inaturalist")

    def arguments(self, *more: str) -> list[str]:
        places = ["--store", self.folder / "store", "--collection", self.folder / "collection"]
        site = ["--set", f'inaturalist.site="{self.served.url}"']
        return [*map(str, ["collect", self.recipe, "--data", self.data, *places]), *site, *more]

    @property
    def asked(self) -> list[str]:
        return [path for _, path, _ in self.served.log]


@pytest.fixture
def nature(
    tiny_data: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nature]:
    """Real recordings as sounds 11 to 15; the competition has sound 14 and observation 500."""
    monkeypatch.setenv(KEY_NAME, KEY)
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    train = pd.read_csv(data / "train.csv", dtype=str, keep_default_na=False)
    train.loc[0, "url"] = "https://static.inaturalist.org/sounds/14.m4a?1"
    train.loc[1, "url"] = "https://www.inaturalist.org/observations/500"
    train.to_csv(data / "train.csv", index=False)
    files = sorted((shared_data / "birdclef-2026-mini" / "train_audio").rglob("iNat*.ogg"))
    served_from = tmp_path / "sounds"
    served_from.mkdir()
    for number, file in zip(range(11, 14), files, strict=False):
        shutil.copy(file, served_from / f"{number}.ogg")
    # A copy of one of the competition's own, under another number.
    own = next(path for path in sorted(data.glob("train_audio/*/*")) if path.is_file())
    shutil.copy(own, served_from / f"15{own.suffix}")
    ogg = {"suffix": ".ogg"}
    observations = [
        observation(100, [sound(11, "cc-by-nc", **ogg), sound(12, **ogg)], taxon=FROG),
        observation(200, [sound(13, "cc0", **ogg)], taxon=NEWT, obscured=True),
        observation(300, [sound(14, **ogg)], taxon=FROG),
        observation(400, [sound(15, suffix=own.suffix)], taxon=FROG),
        observation(500, [sound(16, **ogg)], taxon=FROG),
        observation(600, [sound(17, None, **ogg), sound(18, "cc-by-nd", **ogg)], taxon=FROG),
    ]
    recipe = tmp_path / "frogs.toml"
    recipe.write_text(RECIPE.format(base=TINY))
    faults = Faults()
    with serve_observations(served_from, observations, faults) as served:
        yield Nature(served, faults, observations, data, tmp_path, recipe)
    assert served.leaked == [], "the key is Xeno-canto's"


def test_what_is_wanted_comes_once_and_the_rest_has_reasons(
    nature: Nature, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(nature.arguments("--dry-run")) == 0
    said = capsys.readouterr().out
    assert "Hyla arborea" in said
    assert "Triturus cristatus" in said
    assert " ? " in said, "lengths are not said"
    assert not any("/sounds/" in path for path in nature.asked)
    assert main(nature.arguments()) == 0
    said = capsys.readouterr().out
    counts = dict(line.split() for line in said.splitlines()[-6:-1])
    counts.pop("bytes")
    assert counts == {"wanted": "4", "left_out": "4", "fetched": "4", "not_there": "0"}
    assert list(collected(nature.sounds)) == [11, 12, 13, 15]
    (left_out,) = nature.sounds.glob("selections/*/left_out.csv")
    assert pd.read_csv(left_out).set_index("id")["why"].to_dict() == {
        14: "in the competition's training data",
        16: "in the competition's training data",
        17: "all rights reserved",
        18: "licence cc-by-nd",
    }
    asked = len(nature.asked)
    assert main(nature.arguments()) == 0
    assert len(nature.asked) == asked, "all of it is there"
    assert collected(nature.folder / "collection") == {}


def test_a_round_reads_it_without_what_the_competition_has(nature: Nature) -> None:
    assert main(nature.arguments()) == 0
    store = Store(nature.folder / "made")
    recipe = read_recipe(nature.recipe, [f'inaturalist.site="{nature.served.url}"'])
    source = scan(nature.data, store)
    found = extra_sources(recipe, source, nature.folder / "collection", store)
    (own,) = found
    assert (own.name, [subset.name for subset in own.subsets]) == ("inaturalist", ["inaturalist"])
    dag = build_dag(recipe, source, store, found, keep_shards=False)
    (leaks,) = dag.of("leaks")
    assert [leak[2] for leak in leaks.config["found"]] == ["content"]
    (cataloged,) = dag.of("collection")
    assert cataloged.config["layout"] == "inaturalist"
    files = {file.path: file.sha256 for file in own.subset("labelled").files}
    leaked = frozenset(files[path] for path, *_ in leaks.config["found"])
    given = CatalogInput(own.root, files, tuple(own.tables), leaked=leaked)
    made = SOURCES[own.name].catalog(given).recordings.reset_index(drop=True)
    assert [Path(name).stem for name in made["recording"]] == [
        "iNat11",
        "iNat12",
        "iNat13",
        "iNat15",
    ]
    assert made["primary_label"].tolist() == [
        "Hyla arborea", "Hyla arborea", "Triturus cristatus", "Hyla arborea"
    ]  # fmt: skip
    assert made["usable"].tolist() == [True, True, True, False]
    assert set(made["collection"]) == {"iNat"}
    assert made["rating"].isna().all()
    assert made["license"].tolist() == ["cc-by-nc", "cc-by", "cc0", "cc-by"]
    assert made["author"].unique().tolist() == ["Lis Tener"]
    assert made["url"][0] == "https://www.inaturalist.org/observations/100"
    assert made["latitude"].isna().tolist() == [False, False, True, False]


@pytest.mark.usefixtures("in_haste")
def test_one_archive_that_is_away_does_not_keep_the_other_back(
    nature: Nature, site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    birds = '[xeno_canto]\nqueries = ["grp:birds"]\nper_second = 50\n'
    both = nature.folder / "both.toml"
    both.write_text(RECIPE.format(base=TINY) + birds)
    more = ["--set", f'xeno_canto.site="{site.served.url}"']
    arguments = [str(both) if each == str(nature.recipe) else each for each in nature.arguments()]
    site.faults.rate, site.faults.kinds = 1.0, ("503",)
    assert main([*arguments, *more]) == 1
    assert "answers with status 503" in capsys.readouterr().err
    assert len(collected(nature.sounds)) == 4
    site.faults.rate = 0.0
    assert main([*arguments, *more]) == 0
    said = capsys.readouterr().out
    assert f"fetched   {len(collected(site.collection))}" in said
