"""Species of the competition among a teacher's classes."""

from birdcore.teachers.external_teacher import species_columns


def test_species_are_found_by_scientific_name_whatever_its_case() -> None:
    classes = ("Turdus merula", "Dog", "Parus major")
    species = ["Parus major", "Gryllus campestris", "turdus merula", "", "Turdus"]
    assert species_columns(classes, species).tolist() == [2, -1, 0, -1, -1]


def test_no_species_have_no_columns() -> None:
    assert species_columns(("Turdus merula",), []).shape == (0,)
