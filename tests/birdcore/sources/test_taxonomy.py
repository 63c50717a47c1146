"""Settings that speak of taxa, and the tables that must know these."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from birdcore.config import Recipe
from birdcore.csv_table import TableError
from birdcore.sources.source import FOLDERS, SOURCES, Source
from birdcore.sources.tables import read_tables
from birdcore.sources.taxonomy import check_taxonomy
from birdcore.store.store import Store

ROUND = {"name": "a", "backbones": ["resnet10t"]}
TAXONOMY = """\
primary_label,inat_taxon_id,scientific_name,common_name,class_name
amered,,Setophaga ruticilla,,Aves
son01,47158,Insecta,,Insecta
son02,47158,Insecta,,Insecta
yelwar,,Setophaga petechia,,Aves
"""


def folder(root: Path, taxonomy: str | None) -> Source:
    (root / "train.csv").write_text("primary_label,filename\namered,amered/a.ogg\n")
    if taxonomy is not None:
        (root / "taxonomy.csv").write_text(taxonomy)
    return Source("birdclef", root, (), {}, read_tables(root))


def recipe(after: dict[str, Any], *sources: dict[str, Any], **ensemble: Any) -> Recipe:
    tables = {"after_prediction": after, "ensemble": ensemble, "source": sources}
    return Recipe.model_validate({"round": [ROUND], **tables})


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"smooth": {"birds": [1, 2, 1], "insects": [1, 1, 1]}, "class_share": 0.1},
        {"genus_share": 0.1, "pool_same_taxon": True},
        {"pooled": [["son01", "son02"]]},
        {"temperature": 2, "cap": 0.5, "max_sum": 1, "times_file_maximum": 1},
    ],
)
def test_what_the_taxonomy_knows_is_taken(tmp_path: Path, after: dict[str, Any]) -> None:
    check_taxonomy(recipe(after), folder(tmp_path, TAXONOMY))


@pytest.mark.parametrize(
    ("after", "replaced", "says"),
    [
        ({"smooth": {"frogs": [1]}}, (), "after_prediction.smooth names Amphibia, of which there "
         "is no class. There are Aves, Insecta"),
        ({"smooth": {"avs": [1]}}, (), "of which there is no class; did you mean 'Aves'"),
        ({"smooth": {"birds": [1]}}, ("petechia,,Aves", "petechia,,"),
         "after_prediction.smooth needs class_name, which is empty or missing for yelwar"),
        ({"class_share": 0.1}, (",class_name", ",family"),
         "after_prediction.class_share needs class_name, which is empty or missing for amered, "),
        ({"genus_share": 0.1}, ("Setophaga petechia", ""), "genus_share needs scientific_name"),
        ({"genus_share": 0.1}, ("Setophaga petechia", "Mniotilta varia"),
         "genus_share has no effect: no two classes share a genus"),
        ({"pool_same_taxon": True}, ("47158", ""), "pool_same_taxon needs inat_taxon_id"),
        ({"pooled": [["son01", "son03"]]}, (), "after_prediction.pooled: no class is called "
         "'son03'; did you mean"),
    ],
)  # fmt: skip
def test_what_it_does_not_know_is_refused_with_setting_and_file(
    tmp_path: Path, after: dict[str, Any], replaced: tuple[str, str], says: str
) -> None:
    source = folder(tmp_path, TAXONOMY.replace(*replaced) if replaced else TAXONOMY)
    with pytest.raises(TableError) as caught:
        check_taxonomy(recipe(after), source)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'taxonomy.csv'}: ")


def test_weights_of_a_taxon_without_a_class_are_refused(tmp_path: Path) -> None:
    source = folder(tmp_path, TAXONOMY)
    check_taxonomy(recipe({}, taxon_weights={"birds": {"a": 1}}), source)
    with pytest.raises(TableError, match=r"ensemble\.taxon_weights names Amphibia"):
        check_taxonomy(recipe({}, taxon_weights={"frogs": {"a": 1}}), source)


ADDS, ADDS_NONE = {"path": "field", "classes": "all"}, {"path": "field", "classes": "main"}


@pytest.mark.parametrize(
    ("after", "weighed"),
    [
        ({"smooth": {"frogs": [1]}}, {}),
        ({"pooled": [["son01", "son03"]]}, {}),
        ({"genus_share": 0.1}, {}),
        ({}, {"taxon_weights": {"frogs": {"a": 1}}}),
    ],
)
def test_classes_that_a_source_may_bring_are_not_missed_yet(
    tmp_path: Path, after: dict[str, Any], weighed: dict[str, Any]
) -> None:
    source = folder(tmp_path, TAXONOMY.replace("Setophaga petechia", "Mniotilta varia"))
    check_taxonomy(recipe(after, ADDS_NONE, ADDS, **weighed), source)
    with pytest.raises(TableError):
        check_taxonomy(recipe(after, ADDS_NONE, **weighed), source)


def test_of_the_data_folders_own_classes_they_are_no_excuse(tmp_path: Path) -> None:
    source = folder(tmp_path, TAXONOMY.replace("petechia,,Aves", "petechia,,"))
    with pytest.raises(TableError, match=r"smooth needs class_name, .* for yelwar"):
        check_taxonomy(recipe({"smooth": {"frogs": [1]}}, ADDS), source)


def test_a_folder_without_a_taxonomy_is_refused_by_the_table_there_is(tmp_path: Path) -> None:
    source = folder(tmp_path, None)
    with pytest.raises(TableError, match=r"train\.csv: after_prediction\.smooth needs class_name"):
        check_taxonomy(recipe({"smooth": {"birds": [1]}}), source)
    plain = replace(source, metadata=None)
    with pytest.raises(TableError, match=r"classes\.csv: there is no such table"):
        check_taxonomy(recipe({"smooth": {"birds": [1]}}), plain)
    (tmp_path / "classes.csv").write_text("folder,group\nwren,birds\ntoad,frogs\n")
    check_taxonomy(recipe({"smooth": {"birds": [1]}}), plain)
    with pytest.raises(TableError, match="names Insecta, of which there is no class"):
        check_taxonomy(recipe({"smooth": {"insects": [1]}}), plain)
    check_taxonomy(recipe({"pooled": [["wren", "toad"]]}), plain)
    with pytest.raises(TableError, match=r"classes\.csv: .*no class is called 'tod'.*'toad'"):
        check_taxonomy(recipe({"pooled": [["wren", "tod"]]}), plain)


def test_a_class_that_its_table_leaves_out_is_refused(tmp_path: Path) -> None:
    for name in ("wren", "toad", "cricket"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.wav").write_bytes(name.encode())
    asked, table = recipe({"class_share": 0.1}), tmp_path / "data" / "classes.csv"

    def check() -> None:
        store = Store(tmp_path / "store")
        check_taxonomy(asked, SOURCES[FOLDERS].read(tmp_path / "data", store, asked, None))

    table.write_text("folder,group\nwren,birds\ntoad,frogs\n")
    with pytest.raises(TableError, match=r"class_share needs the group .* cricket/a\.wav"):
        check()
    table.write_text("folder,group\nwren,birds\ntoad,frogs\ncricket,insects\n")
    check()
