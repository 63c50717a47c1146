"""Which classes of two sources are one species."""

import pandas as pd
import pytest

from birdcore.sources.class_matching import match_classes

KNOWN = {
    "eurrob1": "Erithacus rubecula",
    "robin": "Turdus migratorius",
    "son1": "Insecta",
    "son2": "Insecta",
    "hum": "hum",
    "frog": "",
}


def species(names: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"label": list(names), "scientific_name": list(names.values())})


@pytest.mark.parametrize(
    ("label", "name", "synonyms", "same"),
    [
        ("r", "Erithacus  rubecula ", {}, "eurrob1"),
        ("Erithacus_rubecula", "Erithacus_rubecula", {}, "eurrob1"),
        ("ERITHACUS RUBECULA", "", {}, "eurrob1"),
        ("robin", "Erithacus rubecula", {}, "eurrob1"),  # the name goes before the label
        ("robin", "Erithacus superbus", {}, None),  # another bird of that label
        ("robin", "robin", {}, "robin"),  # a label is all that one has
        ("x", "Insecta", {}, None),  # the name of two classes
        ("son2", "Insecta", {}, None),
        ("Hum", "Bombus terrestris", {}, "hum"),  # a label is all that the other has
        ("frog", "Hyla arborea", {}, "frog"),
        ("x", "Turdus canorus", {"turdus canorus": "turdus migratorius"}, "robin"),
        ("brummer", "", {"brummer": "hum"}, "hum"),
        ("x", "Aves nova", {"turdus migratorius": "aves nova"}, "robin"),  # known by an old name
    ],
)
def test_same(label: str, name: str, synonyms: dict[str, str], same: str | None) -> None:
    found = match_classes(species(KNOWN), species({label: name}), synonyms)
    assert found == ({} if same is None else {label: same})
