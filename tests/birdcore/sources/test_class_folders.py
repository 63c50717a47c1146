"""A folder for each class as a source: classes, negatives, copies."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile as sf

from birdcore.config import Recipe
from birdcore.config.data import Data
from birdcore.csv_table import TableError
from birdcore.sources.catalog import Catalog
from birdcore.sources.class_folders import folder_labels
from birdcore.sources.data_folder import layout_name, read_data
from birdcore.sources.soundscapes import rows_of, soundscape_problems
from birdcore.sources.source import FOLDERS, Source
from birdcore.stages import catalog, folds
from birdcore.store.store import Store

ROUND = {"name": "one", "backbones": ["test_resnet"]}


def recipe(**data: object) -> Recipe:
    return Recipe.model_validate({"round": [ROUND], "data": data})


def write(root: Path, *names: str, same: bool = False) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = 0 if same else crc32(name.encode())  # hash() differs from process to process
        sf.write(path, 0.1 * np.random.default_rng(seed).standard_normal(800), 8000)


def made(source: Source, store: Store) -> Catalog:
    from birdcore.sources.catalog import CatalogInput
    from birdcore.sources.source import SOURCES

    step = catalog.step(source)
    audio = {name: sha for name, sha in step.files.items() if name not in step.config["tables"]}
    given = CatalogInput(source.root, audio, settings=step.config.get("settings", {}))
    return SOURCES[source.layout].catalog(given)


@pytest.mark.parametrize(
    ("names", "labels", "silent"),
    [
        (["a/1.wav", "b/2.wav"], {"a/1.wav": "a", "b/2.wav": "b"}, set()),
        (["x/a/1.wav", "x/b/c/2.wav"], {"x/a/1.wav": "a", "x/b/c/2.wav": "b"}, set()),
        (["a/1.wav", "NOCALL/deep/2.wav"], {"a/1.wav": "a"}, {"NOCALL/deep/2.wav"}),
        (["Wren/1.wav", "wren/2.wav"], {"Wren/1.wav": "Wren", "wren/2.wav": "Wren"}, set()),
        (["1.wav", "a/2.wav"], {"a/2.wav": "a"}, set()),
        (["a/1.wav"], {"a/1.wav": "a"}, set()),
        (["x/1.wav", "x/a/2.wav"], {"x/1.wav": "x", "x/a/2.wav": "x"}, set()),
    ],
)
def test_labels_by_folder(names: list[str], labels: dict[str, str], silent: set[str]) -> None:
    assert folder_labels(names, Data()) == (labels, silent)


def test_real_crickets(shared_data: Path, store: Store) -> None:
    root = shared_data / "field" / "folder-per-class"
    source = read_data(root, store, recipe())
    assert source.layout == FOLDERS
    table = made(source, store)
    assert len(table.species) == 9
    assert len(table.recordings) == len(list(root.rglob("*.flac")))
    assert table.recordings["usable"].all()
    assert table.annotated is None
    assert set(table.recordings["primary_label"]) == set(table.species["label"])


def test_negatives_are_annotated_with_nothing(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "d", "wren/1.wav", "wren/2.WAV", "Noise/3.wav", "loose.wav")
    source = read_data(tmp_path / "d", store, recipe())
    uses = {subset.use: [file.path for file in subset.files] for subset in source.subsets}
    assert uses == {
        "labelled": ["wren/1.wav", "wren/2.WAV"],
        "annotated": ["Noise/3.wav"],
        "unlabelled": ["loose.wav"],
        "test": [],
    }
    assert [p.problem for p in source.problems] == ["recording in no folder of a class"]
    artifact = store.make(catalog.step(source), catalog.run)
    folded = store.make(folds.step(artifact.ref, 2, 0), folds.run)
    assert folded.metrics["recordings"] == 3
    table = made(source, store).annotated
    assert table is not None
    assert table.complete["end_s"].tolist() == [np.inf]
    assert table.annotations.empty


def test_copies(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "d"
    write(root, "wren/1.wav", "tit/1.wav", "wren/1 (1).wav", same=True)
    write(root, "wren/own.wav", "tit/own.wav")
    rows = made(read_data(root, store, recipe()), store).recordings.set_index("recording")
    assert rows["usable"].to_dict() == {
        "tit/1.wav": True,
        "tit/own.wav": True,
        "wren/1 (1).wav": False,
        "wren/1.wav": False,
        "wren/own.wav": True,
    }
    both = rows.loc["tit/1.wav"]
    assert (both["primary_label"], both["secondary_labels"]) == ("tit", ["wren"])


def test_class_names(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "d"
    write(root, "trotro/1.wav", "parmaj/2.wav")
    text = "folder,scientific_name,common_name,group\ntrotro,Troglodytes troglodytes,Wren,Aves\n"
    (root / "classes.csv").write_text(text)
    species = made(read_data(root, store, recipe()), store).species.set_index("label")
    assert species.loc["trotro"].tolist() == ["Troglodytes troglodytes", "Wren", "Aves", ""]
    assert species.loc["parmaj"].tolist() == ["parmaj", "", "", ""]
    assert read_data(root, store, recipe()).groups == {"trotro/1.wav": "Aves"}
    (root / "classes.csv").write_text(f"{text}trotro,x,y,z\n")
    with pytest.raises(TableError, match=r"classes\.csv:3: 'trotro' is there twice"):
        made(read_data(root, store, recipe()), store)


def test_set_aside_for_test(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "d"
    write(root, "wren/1.wav", "wren/late/2.wav", "tit/1.wav", "tit/late/2.wav")
    source = read_data(root, store, recipe(test=["*/late/*"]))
    assert [file.path for file in source.subset("test").files] == [
        "tit/late/2.wav",
        "wren/late/2.wav",
    ]
    assert len(source.subset("labelled").files) == 2
    assert rows_of(source) == {"tit/late/2.wav": "tit/late/2", "wren/late/2.wav": "wren/late/2"}
    (none,) = soundscape_problems(read_data(root, store, recipe()))
    assert none.where == "data.test sets none aside"
    with pytest.raises(ValueError, match=r"no recording of .* fits 'late/\*'"):
        read_data(root, store, recipe(test=["late/*"]))


@pytest.mark.parametrize("names", [["wren/1.wav", "wren/2.wav"], ["1.wav", "2.wav"]])
def test_refused_without_two_classes(names: list[str], tmp_path: Path, store: Store) -> None:
    write(tmp_path / "d", *names)
    with pytest.raises(TableError, match=r"a folder for each class"):
        read_data(tmp_path / "d", store, recipe(layout="folders"))


def test_layouts_of_real_folders(shared_data: Path) -> None:
    found = {
        name: layout_name(shared_data / name)
        for name in (
            "birdclef-mini",
            "birdclef-2026-mini",
            "field/folder-per-class",
            "field/raven-noisy-pitta",
            "field/audacity",
            "field/csv-windows",
        )
    }
    assert list(found.values()) == ["birdclef", "birdclef", "folders", "tables", "tables", "tables"]


def test_folder_of_no_layout(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "d", "1.wav")
    with pytest.raises(TableError, match="recordings in a folder for each class"):
        read_data(tmp_path / "d", store, recipe())
