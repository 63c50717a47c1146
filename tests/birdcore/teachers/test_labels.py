"""Files of labels as teachers have them."""

from pathlib import Path

import pytest

from birdcore.teachers.labels import Labels, read_labels


def read(tmp_path: Path, name: str, text: str, *columns: str | None) -> Labels:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return read_labels(path, *(columns or (None, None)))


def test_a_name_in_each_line(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "Parus major\r\nTurdus merula\r\n\r\n")
    assert found == Labels(("Parus major", "Turdus merula"), ())


def test_scientific_and_common_names_in_each_line(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "Parus major_Great Tit\nTurdus merula_Blackbird\n")
    assert found == Labels(("Parus major", "Turdus merula"), ("Great Tit", "Blackbird"))


def test_an_underscore_in_some_names_is_theirs(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "Parus major\nWaves_and_surf\n")
    assert found == Labels(("Parus major", "Waves_and_surf"), ())


def test_the_one_column_of_a_table(tmp_path: Path) -> None:
    found = read(tmp_path, "labels.csv", "inat2024_fsd50k\nParus major\nWaves_and_surf\n")
    assert found == Labels(("Parus major", "Waves_and_surf"), ())


def test_a_class_without_a_common_name_has_its_scientific_one(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "Strix aluco_Tawny Owl\nWind_\nAsio otus_Long-eared Owl\n")
    assert found.common_names == ("Tawny Owl", "Wind", "Long-eared Owl")
    text = "latin;english\nStrix aluco;\nAsio otus;Long-eared Owl\nBubo bubo\n"
    found = read(tmp_path, "a.csv", text, "latin", "english")
    assert found.common_names == ("Strix aluco", "Long-eared Owl", "Bubo bubo")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_with_any_delimiter_and_a_byte_order_mark(tmp_path: Path, delimiter: str) -> None:
    rows = ("idx id sci_name com_name class", "0 3 Parus_major Tit Aves", "1 5 Turdus Thrush Aves")
    text = "\ufeff" + "\n".join(row.replace(" ", delimiter) for row in rows)
    found = read(tmp_path, "labels.csv", text, "sci_name", "com_name")
    assert found == Labels(("Parus_major", "Turdus"), ("Tit", "Thrush"))
    assert read(tmp_path, "labels.csv", text, "sci_name", None).common_names == ()


@pytest.mark.parametrize(
    ("text", "columns", "says"),
    [
        ("a,b\n1,2\n", (None, None), r"csv:1: which column.* a, b$"),
        ("sci_name,b\n1,2\n", ("sciname", None), r"csv:1: no column 'sciname'; did"),
        ("a,b\n1,2\n,3\n", ("a", None), r"csv:3: a class without a name"),
        ("a,b\nX,2\nY,3\nX,4\n", ("a", None), r"csv:4: 'X' is there twice, first in line 2"),
        ('a\n"X\n', (None, None), r"csv:2: not a CSV table"),
        ("latin\nAsio otus\nStrix aluco,tawny owl\n", (None, None),
         r"csv:3: 2 cells where the header has 1: put a name that holds a comma in quotes"),
        ("latin;english\nAsio otus;owl; long-eared\n", ("latin", "english"),
         r"csv:2: 3 cells where the header has 2: put a name that holds a semicolon"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_clear_is_refused(
    tmp_path: Path, text: str, columns: tuple[str | None, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        read(tmp_path, "labels.csv", text, *columns)
