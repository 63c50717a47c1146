"""Folders beside the data folder: their names, and tables of synonyms."""

from pathlib import Path

import pytest

from birdcore.config import Recipe
from birdcore.config.data import FurtherSource
from birdcore.csv_table import TableError
from birdcore.sources.further import further_sources, read_synonyms
from birdcore.sources.source import FOLDERS, MAIN, Source
from birdcore.store.store import Store

ROUND = {"name": "one", "backbones": ["test_resnet"]}


def said(tmp_path: Path, text: str) -> FurtherSource:
    (tmp_path / "names.csv").write_text(text)
    return FurtherSource(path="x", synonyms=str(tmp_path / "names.csv"))


def test_synonyms_are_compared_without_case_and_spaces(tmp_path: Path) -> None:
    table = said(
        tmp_path, "name,accepted,why\nAvis_vetus , Avis  nova,2019\nAVIS VETUS,avis nova,\n"
    )
    assert read_synonyms(table) == {"avis vetus": "avis nova"}
    assert read_synonyms(FurtherSource(path="x")) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,valid\na,b\n", "names.csv:1: no column accepted"),
        ("name,accepted\na,b\nc,\n", "names.csv:3: name or accepted is empty"),
        ("name,accepted\na,b\nA,c\n", "names.csv:2: 'a' is there twice, with two accepted"),
    ],
)
def test_wrong_synonyms(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=says):
        read_synonyms(said(tmp_path, text))


def test_missing_synonyms(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nowhere\.csv"):
        read_synonyms(FurtherSource(path="x", synonyms=str(tmp_path / "nowhere.csv")))


def further(tmp_path: Path, *paths: str) -> tuple[Source, ...]:
    tables = [{"path": str(tmp_path / path)} for path in paths]
    recipe = Recipe.model_validate({"round": [ROUND], "source": tables})
    main = Source(MAIN, tmp_path / "main", (), {}, layout=FOLDERS)
    return further_sources(recipe, main, Store(tmp_path / "store"))


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(path).encode())


def test_names_begin_with_the_folders(tmp_path: Path) -> None:
    root = tmp_path / "my crickets"
    write(root / "a/1.wav", root / "b/2.wav", root / "noise/3.wav", root / "loose.wav")
    (root / "classes.csv").write_text("label,group\na,Insecta\n")
    (one,) = further(tmp_path, "main/../my crickets")
    assert {name: [file.path for file in files] for name, files in one.audio.items()} == {
        "my_crickets_clips": ["my crickets/a/1.wav", "my crickets/b/2.wav"],
        "my_crickets_annotated": ["my crickets/noise/3.wav"],
    }
    assert (one.name, one.folder, one.root) == (MAIN, "my crickets", tmp_path)
    assert list(one.tables) == ["my crickets/classes.csv"]
    assert one.groups == {"my crickets/a/1.wav": "Insecta"}
    assert all((one.root / file.path).is_file() for files in one.audio.values() for file in files)
    assert one.problems[-1].detail == "1: not used"


def test_folders_of_one_name_are_told_apart_by_a_link(tmp_path: Path) -> None:
    for lab in ("one", "two"):
        write(tmp_path / lab / "crickets/a/1.wav", tmp_path / lab / "crickets/b/2.wav")
    with pytest.raises(TableError, match=r"source\.1\.path: .*link to it that has another name"):
        further(tmp_path, "one/crickets", "two/crickets")
    (tmp_path / "others").symlink_to(tmp_path / "two/crickets")
    _, other = further(tmp_path, "one/crickets", "others")
    assert other.subset("labelled").files[0].path == "others/a/1.wav"
    (tmp_path / "again").symlink_to(tmp_path / "one/crickets")
    with pytest.raises(TableError, match=r"is \[\[source\]\] crickets itself"):
        further(tmp_path, "one/crickets", "again")
