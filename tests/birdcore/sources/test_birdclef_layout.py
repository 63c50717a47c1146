import shutil
from pathlib import Path

import pytest

from birdcore.csv_table import TableError
from birdcore.sources.birdclef import scan
from birdcore.sources.birdclef_layout import layout_of
from birdcore.sources.soundscapes import rows_of, sample_decides, soundscape_problems
from birdcore.sources.stand_ins import with_stand_ins
from birdcore.sources.tables import read_tables
from birdcore.store.store import Store

METADATA_2021 = """\
primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,date,\
filename,license,rating,time,url
acafly,['amegfi'],"['begging call', 'call']",35.3860,-84.1250,Empidonax virescens,Acadian \
Flycatcher,Mike Nelson,2012-08-12,XC109605.ogg,Creative Commons Attribution-NonCommercial-\
ShareAlike 3.0,2.5,09:30,https://www.xeno-canto.org/109605
acafly,[],['call'],Not specified,Not specified,Empidonax virescens,Acadian Flycatcher,Allen T. \
Chartier,2000-06-18,XC11209.ogg,Creative Commons Attribution-NonCommercial-ShareAlike 3.0,-,?,\
https://www.xeno-canto.org/11209
amegfi,"['acafly', 'nocall']",['song'],40.1,-75.2,Spinus tristis,American Goldfinch,Ada,\
2011-05-01,XC3.ogg,Creative Commons Attribution-NonCommercial-ShareAlike 3.0,0.0,10:00am,\
https://www.xeno-canto.org/3
"""
METADATA_2024 = """\
primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,license,\
rating,url,filename
asbfly,[],['call'],39.2297,118.1987,Muscicapa dauurica,Asian Brown Flycatcher,Matt Slaymaker,\
Creative Commons Attribution-NonCommercial-ShareAlike 3.0,5.0,https://www.xeno-canto.org/134896,\
asbfly/XC134896.ogg
"""


def write(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (root / f"{name}.csv").write_text(text)
    return root


def test_2021_names_files_without_their_folder(tmp_path: Path, shared_data: Path) -> None:
    sound = next((shared_data / "birdclef-mini/train_audio/amered").glob("*.ogg"))
    root = write(tmp_path, train_metadata=METADATA_2021)
    write(root, sample_submission="row_id,birds\n3575_COR_5,acafly amegfi\n3575_COR_10,nocall\n")
    for folder in ("train_short_audio/acafly", "train_short_audio/amegfi", "train_soundscapes"):
        (root / folder).mkdir(parents=True)
    shutil.copy(sound, root / "train_short_audio/acafly/XC109605.ogg")
    shutil.copy(sound, root / "train_soundscapes/7019_COR_20190904.ogg")
    source = scan(root, Store(tmp_path / "store"))
    assert source.metadata is not None
    assert source.metadata.layout.years == "2021"
    assert [file.path for file in source.subset("labelled").files] == [
        "train_short_audio/acafly/XC109605.ogg"
    ]
    assert [file.path for file in source.subset("unlabelled").files] == [
        "train_soundscapes/7019_COR_20190904.ogg"
    ]
    assert source.labels == ("acafly", "amegfi")
    assert source.row_ids == ("3575_COR_5", "3575_COR_10")
    assert source.metadata.row_form == "birds"
    assert set(source.tables) == {"train_metadata.csv", "sample_submission.csv"}
    # The test set is empty, and what stands in has rows of 2021's form.
    fitted = with_stand_ins(source)
    assert list(rows_of(fitted).values()) == ["7019_COR"]
    assert not sample_decides(fitted)
    assert "name of two soundscapes" not in {each.problem for each in soundscape_problems(fitted)}


def test_2021_says_in_words_what_is_not_known(tmp_path: Path) -> None:
    tables = read_tables(write(tmp_path, train_metadata=METADATA_2021))
    assert tables.train["rating"].isna().tolist() == [False, True, False]
    assert tables.train["latitude"].isna().tolist() == [False, True, False]
    assert tables.problems == ()
    assert tables.train["secondary_labels"].tolist() == [["amegfi"], [], ["acafly"]]


def test_2022_asks_for_a_segment_and_a_class_in_a_row(tmp_path: Path, shared_data: Path) -> None:
    shutil.copytree(shared_data / "field/birdclef-tables/birdclef2022", tmp_path / "data")
    tables = read_tables(tmp_path / "data")
    assert len(tables.train) == 119
    assert tables.layout.years == "2022 and 2023"
    assert tables.train["recording"].iloc[0] == "train_audio/afrsil1/XC125458.ogg"
    assert tables.train["secondary_labels"].iloc[1] == ["houspa", "redava", "zebdov"]
    assert tables.labels == tuple(sorted(set(tables.train["primary_label"])))
    assert tables.row_form == "target"
    assert tables.row_ids == (
        "soundscape_1000170626_5",
        "soundscape_1000170626_10",
        "soundscape_1000170626_15",
    )
    assert tables.problems == ()


def test_2022_rates_with_a_dash_what_nobody_rated(tmp_path: Path, shared_data: Path) -> None:
    shutil.copytree(shared_data / "field/birdclef-tables/birdclef2022", tmp_path / "data")
    path = tmp_path / "data/train_metadata.csv"
    path.write_text(path.read_text().replace("3.0,2.5,08:00", "3.0,-,xx:xx", 1))
    tables = read_tables(tmp_path / "data")
    assert tables.train["rating"].isna().sum() == 1
    assert tables.problems == ()


def test_2024_has_its_soundscapes_in_another_folder(tmp_path: Path) -> None:
    root = write(tmp_path, train_metadata=METADATA_2024)
    write(root, sample_submission="row_id,asbfly,ashdro1\nsoundscape_29201_5,0.0055,0.0055\n")
    (root / "train_audio/asbfly").mkdir(parents=True)
    (root / "unlabeled_soundscapes").mkdir()
    tables = read_tables(root)
    assert tables.layout.soundscapes == "unlabeled_soundscapes"
    assert tables.train["recording"].tolist() == ["train_audio/asbfly/XC134896.ogg"]
    assert tables.labels == ("asbfly", "ashdro1")
    assert tables.row_ids == ("soundscape_29201_5",)


def test_2025_has_classes_of_digits_in_the_order_of_the_sample(
    tmp_path: Path, shared_data: Path
) -> None:
    shutil.copytree(shared_data / "field/birdclef-tables/birdclef2025", tmp_path / "data")
    train = "primary_label,filename,type\n1139490,1139490/CSA36385.ogg,\"['call', ' song']\"\n"
    tables = read_tables(write(tmp_path / "data", train=train))
    assert len(tables.labels) == 206
    assert tables.labels[:4] == ("1139490", "1192948", "1194042", "126247")
    assert tables.row_ids[0] == "soundscape_8358733_5"
    assert tables.row_form == "classes"


def test_2026_has_its_classes_from_a_sample_of_placeholders(tmp_path: Path) -> None:
    digits = [str(22930 + n) for n in range(47)]
    sonotypes = [f"47158son{n:02d}" for n in range(1, 26)]
    others = [f"spec{n}" for n in range(234 - 47 - 25)]
    labels = [*sonotypes, *digits, *others]  # not in the order of the alphabet
    taxonomy = "primary_label,inat_taxon_id\n" + "".join(f"{label},47158\n" for label in labels)
    cells = "".join(f",{1 / 234}" for _ in labels)
    rows = "".join(f"BC2026_Test_0001_S05_20250227_010002_{end}{cells}\n" for end in (5, 10, 15))
    train = "primary_label,filename,rating,collection\n22930,22930/iNat1.ogg,0.0,iNat\n"
    root = write(tmp_path, train=train, taxonomy=taxonomy)
    write(root, sample_submission=f"row_id,{','.join(labels)}\n{rows}")
    tables = read_tables(root)
    assert tables.labels == tuple(labels)
    assert tables.train["primary_label"].tolist() == ["22930"]
    assert len(tables.row_ids) == 3


def test_2026_mini_is_read(tmp_path: Path, shared_data: Path) -> None:
    source = scan(shared_data / "birdclef-2026-mini", Store(tmp_path / "store"))
    counts = {name: len(files) for name, files in source.audio.items()}
    assert counts == {
        "train_audio": 75,
        "train_soundscapes": 16,
        "labelled_soundscapes": 12,
        "test_soundscapes": 16,
    }
    assert source.labels[:4] == ("1139504", "1139525", "1139546", "1139567")
    assert len(source.row_ids) == 3


def test_the_table_of_2025_goes_before_that_of_earlier_years(tmp_path: Path) -> None:
    write(tmp_path, train="", train_metadata="")
    (tmp_path / "train_audio").mkdir()
    (tmp_path / "unlabeled_soundscapes").mkdir()
    assert layout_of(tmp_path).train == "train.csv"


def test_a_folder_of_no_layout_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TableError) as refused:
        layout_of(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: no data folder, which has recordings in a folder for each class, or tables "
        "of labels beside them (docs/annotations.md), or train.csv of BirdCLEF+; it is empty"
    )
    (tmp_path / "train_short_audio").mkdir()
    with pytest.raises(TableError, match=r"2021, of which train_metadata\.csv is missing; there"):
        layout_of(tmp_path)


def test_a_data_folder_inside_the_given_one_is_named(tmp_path: Path) -> None:
    inner = tmp_path / "birdclef-2025"
    inner.mkdir()
    write(inner, train="")
    with pytest.raises(TableError, match=r"birdclef-2025 is one: give that"):
        layout_of(tmp_path)
