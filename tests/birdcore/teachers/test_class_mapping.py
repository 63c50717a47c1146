"""Species among a teacher's classes: by their own name, a table, or their genus."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdcore.csv_table import TableError
from birdcore.teachers.class_mapping import (
    BY_NAME,
    Mapped,
    SpeciesColumns,
    described,
    map_species,
    read_synonyms,
)

CLASSES = ("Parus major", "Gryllus bimaculatus", "gryllus campestris", "Gryllus", "Charadrius")
SPECIES = ("Parus major", "Gryllus assimilis", "Anarhynchus alexandrinus", "Insecta", "")


def test_by_default_all_go_by_their_names() -> None:
    assert map_species(SPECIES, CLASSES, {}, "absent") == {}
    columns = SpeciesColumns(CLASSES, SPECIES, BY_NAME)
    assert columns.known == ("Parus major",)
    scores = np.arange(10, dtype=np.float32).reshape(2, 5)
    assert columns.of(scores).tolist() == [[0], [5]]


def test_an_unknown_species_has_the_maximum_of_its_genus() -> None:
    mapped = map_species(SPECIES, CLASSES, {}, "genus")
    sisters = ("Gryllus bimaculatus", "gryllus campestris")
    assert mapped == {"Gryllus assimilis": Mapped("genus", sisters)}
    columns = SpeciesColumns(CLASSES, SPECIES, mapped)
    assert columns.known == ("Parus major", "Gryllus assimilis")
    scores = np.array([[0.1, 0.7, 0.2, 0.9, 0.8], [0.3, 0.4, 0.6, 0.9, 0.8]], np.float32)
    np.testing.assert_allclose(columns.of(scores), [[0.1, 0.7], [0.3, 0.6]])
    assert described(mapped) == {
        "Gryllus assimilis": "genus: Gryllus bimaculatus, gryllus campestris"
    }


def test_synonyms_go_before_names_and_genera(tmp_path: Path) -> None:
    table = tmp_path / "synonyms.csv"
    table.write_text(
        "class,teacher_name\nanarhynchus alexandrinus,charadrius\nGryllus assimilis,Gryllus\n"
        "Parus major,Parus major\nParus major,Gryllus\nParus mayor,Gryllus\n"
    )
    found = read_synonyms(table, SPECIES, CLASSES)
    mapped = map_species(SPECIES, CLASSES, found.names, "genus")
    assert mapped == {
        "Parus major": Mapped("synonym", ("Parus major", "Gryllus")),
        "Gryllus assimilis": Mapped("synonym", ("Gryllus",)),
        "Anarhynchus alexandrinus": Mapped("synonym", ("Charadrius",)),
    }
    columns = SpeciesColumns(CLASSES, SPECIES, mapped)
    assert columns.known == SPECIES[:3]
    scores = np.array([[0.1, 0.7, 0.2, 0.9, 0.8]], np.float32)
    np.testing.assert_allclose(columns.of(scores), [[0.9, 0.9, 0.8]])
    (problem,) = found.problems
    assert problem.where == f"{table}:6"
    assert problem.detail == "Parus mayor; did you mean 'Parus major'?"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class,teacher\na,b\n", "csv:1: no column teacher_name"),
        ("class,teacher_name\nParus major,\n", "csv:2: class or teacher_name is empty"),
        ("class,teacher_name\nParus major,Charadrus\n", 
         "csv:2: the teacher has no class 'Charadrus'; did you mean 'Charadrius'"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, says: Any) -> None:
    table = tmp_path / "synonyms.csv"
    table.write_text(text)
    with pytest.raises(TableError, match=says):
        read_synonyms(table, SPECIES, CLASSES)
