"""Species lists: every way to name a species, and lists that fit no model."""

from pathlib import Path

import pytest

from birdcore.detection.species_list import read_classes, read_species_list
from birdcore.detection.table import Species

SPECIES = (
    Species("eurbla", "Turdus merula", "Eurasian Blackbird"),
    Species("eurrob1", "Erithacus rubecula", "European Robin"),
    Species("x", "x", "x"),
)


def listed(folder: Path, *lines: str) -> Path:
    path = folder / "list.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    ["turdus merula", "Eurasian Blackbird", "eurbla", "Turdus merula_Amsel", "\ufeffTurdus merula"],
)
def test_species_is_named_in_any_way(tmp_path: Path, name: str) -> None:
    mask, unknown = read_species_list(
        listed(tmp_path, name, "", "# note", "  # x", "Nobody"), SPECIES
    )
    assert mask.tolist() == [True, False, False]
    assert unknown == ["Nobody"]


def test_list_without_a_known_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'Turdus merulla'; nearest are Turdus merula"):
        read_species_list(listed(tmp_path, "Turdus merulla"), SPECIES)
    with pytest.raises(ValueError, match="names no species"):
        read_species_list(listed(tmp_path, "# nothing"), SPECIES)


def test_classes_have_the_names_that_lie_beside_their_model(tmp_path: Path) -> None:
    assert read_classes(tmp_path, ["a"]) == (Species("a", "a", "a"),)
    (tmp_path / "classes.csv").write_text(
        "class,scientific_name,common_name\neurbla,Turdus merula,Eurasian Blackbird\nz,Zz z,\n"
    )
    assert read_classes(tmp_path, ["eurbla", "b", "z"]) == (
        SPECIES[0], Species("b", "b", "b"), Species("z", "Zz z", "Zz z"),
    )  # fmt: skip


def test_table_of_names_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("code,scientific_name\neurbla,Turdus merula\n")
    with pytest.raises(ValueError, match=r"classes\.csv has no column 'class'"):
        read_classes(tmp_path, ["eurbla"])


def test_class_names_that_are_no_table_are_said_with_their_file(tmp_path: Path) -> None:
    for header in ('class,"scientific_name\n', 'class,scientific_name\n"'):
        (tmp_path / "classes.csv").write_text(header + "a,b\n" * 40_000)
        with pytest.raises(ValueError, match=r"classes\.csv, line \d+: field larger"):
            read_classes(tmp_path, ["a"])
