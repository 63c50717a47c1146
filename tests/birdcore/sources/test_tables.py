import math
import os
import unicodedata
from pathlib import Path

import pytest

from birdcore.csv_table import Problem, TableError
from birdcore.sources.tables import read_tables

TRAIN = """\
primary_label,secondary_labels,filename,author,rating
amered,[],amered/XC1.ogg,Ada,3.5
41663,"['amered', 'bawwar']",41663/iNat2.ogg,"Sinus, Bo",4
"""
TAXONOMY = "primary_label,class_name\nbawwar,Aves\n41663,Insecta\namered,Aves\n"
SAMPLE = "row_id,amered,41663\nS1_5,0.5,0.5\nS1_10,0.5,0.5\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(TRAIN)
    (tmp_path / "taxonomy.csv").write_text(TAXONOMY)
    (tmp_path / "sample_submission.csv").write_text(SAMPLE)
    return tmp_path


def test_tables_are_read_with_their_types(folder: Path) -> None:
    tables = read_tables(folder)
    train = tables.train
    assert train["primary_label"].tolist() == ["amered", "41663"]
    assert train["secondary_labels"].tolist() == [[], ["amered", "bawwar"]]
    assert train["author"].tolist() == ["Ada", "Sinus, Bo"]
    assert train["rating"].tolist() == [3.5, 4.0]
    assert tables.labels == ("amered", "41663")  # the submission's columns, in their order
    assert tables.row_ids == ("S1_5", "S1_10")
    assert tables.problems == ()


def test_real_tables_are_read(shared_data: Path) -> None:
    tables = read_tables(shared_data / "birdclef-mini")
    assert (len(tables.train), len(tables.taxonomy), len(tables.labels)) == (148, 26, 26)
    assert len(tables.row_ids) == 288
    assert tables.train["scientific_name"].iloc[0] == "Setophaga ruticilla"
    assert tables.problems == ()


def test_the_columns_of_2025_and_2026_and_unknown_ones_are_read(folder: Path) -> None:
    (folder / "train.csv").write_text(
        "primary_label,secondary_labels,type,filename,collection,rating,url,latitude,longitude,"
        "scientific_name,common_name,author,license,inat_taxon_id,class_name\n"
        "1139490,[''],[''],1139490/CSA36385.ogg,CSA,0.0,http://a.co/1,7.3206,-73.7128,"
        "Ragoniella pulchella,Ragoniella pulchella,Fabio A. Sarria-S,cc-by-nc-sa 4.0,"
        "1139490,Insecta\n"
    )
    (row,) = read_tables(folder).train.to_dict("records")
    assert row["primary_label"] == "1139490"
    assert row["secondary_labels"] == []
    assert (row["latitude"], row["longitude"]) == (7.3206, -73.7128)
    assert row["author"] == "Fabio A. Sarria-S"


def test_only_label_and_filename_are_needed(folder: Path) -> None:
    (folder / "train.csv").write_text("filename,primary_label\n41663/1.ogg,41663\n")
    (row,) = read_tables(folder).train.to_dict("records")
    assert row["secondary_labels"] == []
    assert row["author"] == ""
    assert math.isnan(row["rating"])


def test_without_a_sample_the_classes_are_those_of_the_taxonomy(folder: Path) -> None:
    (folder / "sample_submission.csv").unlink()
    tables = read_tables(folder)
    assert tables.labels == ("bawwar", "41663", "amered")
    assert tables.row_ids == ()
    (folder / "taxonomy.csv").unlink()
    assert read_tables(folder).labels == ("41663", "amered")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", []),
        ("[]", []),
        ("['']", []),
        ("['amered']", ["amered"]),
        ("['amered', 'bawwar']", ["amered", "bawwar"]),
        ("[41663, '22333']", ["41663", "22333"]),
        ("amered bawwar", ["amered", "bawwar"]),
        ("amered;bawwar", ["amered", "bawwar"]),
    ],
)
def test_secondary_labels_are_read(folder: Path, text: str, labels: list[str]) -> None:
    (folder / "train.csv").write_text(
        f'primary_label,filename,secondary_labels\namered,1.ogg,"{text}"\n'
    )
    assert read_tables(folder).train["secondary_labels"].tolist() == [labels]


def test_missing_values_are_missing_and_odd_numbers_are_reported(folder: Path) -> None:
    (folder / "train.csv").write_text(
        "primary_label,filename,rating,latitude\nNA,1.ogg,,nan\nnull,2.ogg,3,None\nb,3.ogg,good,?\n"
    )
    tables = read_tables(folder)
    assert tables.train["primary_label"].tolist() == ["NA", "null", "b"]  # labels, not gaps
    assert tables.train["rating"].fillna(-1).tolist() == [-1, 3, -1]
    assert tables.problems == (
        Problem("not a number", "train.csv:4", "rating 'good'"),
        Problem("not a number", "train.csv:4", "latitude '?'"),
    )


def test_byte_order_marks_line_ends_spaces_and_row_numbers_do_no_harm(folder: Path) -> None:
    text = ",primary_label , filename\n0,amered , 1.ogg\n\n1,bawwar,2.ogg,,\n"
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    train = read_tables(folder).train
    assert train["primary_label"].tolist() == ["amered", "bawwar"]
    assert train["filename"].tolist() == ["1.ogg", "2.ogg"]
    assert train.index.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "train.csv",
            "primary_label,file\na,b\n",
            "train.csv:1: no column filename; there are primary_label, file",
        ),
        (
            "train.csv",
            "a;b\n1;2\n",
            "train.csv:1: no column primary_label, filename; there are a;b",
        ),
        ("train.csv", "", "train.csv:1: no column primary_label, filename; it is empty"),
        ("train.csv", "\n \n", "train.csv:1: no column primary_label, filename; it is empty"),
        ("train.csv", "primary_label,filename\n", "train.csv:1: no rows below the header"),
        (
            "train.csv",
            "primary_label,filename,filename\na,b,c\n",
            "train.csv:1: column 'filename' is there twice",
        ),
        ("train.csv", TRAIN + "a,[],\n", "train.csv:4: 3 fields where the header has 5"),
        (
            "train.csv",
            TRAIN + "\na,[],b,c,1,2\n",
            "train.csv:5: 6 fields where the header has 5: put text that holds commas in quotes",
        ),
        ("train.csv", TRAIN + "a,[], ,c,1\n", "train.csv:4: filename is empty"),
        ("train.csv", TRAIN + ",[],b,c,1\n", "train.csv:4: primary_label is empty"),
        (
            "train.csv",
            TRAIN + 'a,"[\'b",c,"two\nlines",1\n',
            "train.csv:4: secondary_labels \"['b\" is no list such as ['bawwar']",
        ),
        (
            "train.csv",
            'primary_label,filename,author\na,b,"two\nlines"\nc,d\n',
            "train.csv:4: 2 fields where the header has 3",
        ),
        ("taxonomy.csv", "label\na\n", "taxonomy.csv:1: no column primary_label; there are label"),
        ("taxonomy.csv", TAXONOMY + "amered,x\n", "taxonomy.csv:5: primary_label 'amered' is "),
        ("taxonomy.csv", TAXONOMY + " ,x\n", "taxonomy.csv:5: primary_label is empty"),
        ("sample_submission.csv", "row_id\nS_5\n", "no class columns beside row_id"),
        (
            "sample_submission.csv",
            "row_id,a\n",
            "sample_submission.csv:1: no rows below the header",
        ),
        ("sample_submission.csv", SAMPLE + "S1_5,0,0\n", "csv:4: row_id 'S1_5' is there twice"),
        ("sample_submission.csv", "row_id,a,a\nS_5,0,0\n", "csv:1: column 'a' is there twice"),
    ],
)
def test_a_table_that_can_not_be_used_is_refused(
    folder: Path, name: str, text: str, says: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(TableError) as caught:
        read_tables(folder)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(folder / name))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (TRAIN.encode("utf-16"), 1),
        (TRAIN.replace("Ada", "Adá").encode("latin-1"), 2),
        (TRAIN.replace("Bo", "B\x00").encode() + b"\xff", 4),
    ],
)
def test_a_table_in_another_encoding_is_refused_with_its_line(
    folder: Path, content: bytes, line: int
) -> None:
    (folder / "train.csv").write_bytes(content)
    with pytest.raises(TableError, match=rf"train\.csv:{line}: not UTF-8 text: save the table as"):
        read_tables(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"primary_label,filename\na,1.ogg\nb\0,2.ogg\n", "train.csv:3: a NUL byte"),
        (TRAIN.encode("utf-16-le"), "train.csv:1: a NUL byte: no UTF-8 text"),
        (
            b'primary_label,filename\na,1.ogg\n"b,2.ogg\nc,3.ogg\n',
            "train.csv:3: not a CSV table: a q",
        ),
        (b'primary_label,filename\na,"1" or 2\n', "train.csv:2: not a CSV table"),
        (b"primary_label,filename\na," + b"x" * 200_000 + b"\n", "train.csv:2: not a CSV table: a"),
    ],
)
def test_what_would_be_half_read_is_refused(folder: Path, content: bytes, says: str) -> None:
    (folder / "train.csv").write_bytes(content)
    with pytest.raises(TableError) as caught:
        read_tables(folder)
    assert says in str(caught.value)


def test_lines_may_end_as_on_an_old_mac(folder: Path) -> None:
    (folder / "train.csv").write_bytes(TRAIN.replace("\n", "\r").encode())
    assert read_tables(folder).train["filename"].tolist() == ["amered/XC1.ogg", "41663/iNat2.ogg"]


def test_many_columns_are_read_in_linear_time(folder: Path) -> None:
    labels = [f"c{at}" for at in range(20_000)]
    (folder / "sample_submission.csv").write_text(
        ",".join(["row_id", *labels]) + "\nS_5" + ",0" * 20_000 + "\n"
    )
    assert read_tables(folder).labels == tuple(labels)


@pytest.mark.parametrize("name", ["train.csv", "taxonomy.csv", "sample_submission.csv"])
def test_a_pipe_or_a_link_to_nothing_in_place_of_a_table_is_refused(
    folder: Path, name: str
) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(TableError, match=rf"{name}: a pipe or device, no table"):
        read_tables(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("moved.csv")
    with pytest.raises(TableError, match=rf"{name}: a link to moved\.csv, which is not there"):
        read_tables(folder)


def test_names_in_either_form_are_one(folder: Path) -> None:
    def nfd(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    (folder / "train.csv").write_text(nfd("primary_label,filename\nmésange,Zaunkönig.ogg\n"))
    (folder / "taxonomy.csv").write_text("primary_label\nmésange\n")
    (folder / "sample_submission.csv").write_text(nfd("row_id,mésange\nHöhe_5,0\n"))
    tables = read_tables(folder)
    assert tables.train.iloc[0, :2].tolist() == ["mésange", "Zaunkönig.ogg"]
    assert tables.labels == ("mésange",) == tuple(tables.taxonomy["primary_label"])
    assert tables.row_ids == (nfd("Höhe_5"),)  # as it was given


def test_a_folder_in_place_of_a_table_is_refused(folder: Path) -> None:
    (folder / "train.csv").unlink()
    (folder / "train.csv").mkdir()
    with pytest.raises(TableError, match=r"train\.csv: can't be read: Is a directory"):
        read_tables(folder)
