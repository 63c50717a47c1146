"""Whose recordings a model learnt from."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from birdcore.sources.tables import read_tables
from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from birdcore.training.records import (
    COLUMNS,
    FILE,
    attribution,
    merged,
    read_attribution,
    terms,
    write_attribution,
)


def recordings(*names: str, author: str = "Ann") -> pd.DataFrame:
    """A catalogue's table, which has more columns."""
    table = pd.DataFrame(
        {"recording": names, "author": author, "license": "cc-by 4.0", "rating": 3}
    )
    table = table.assign(url="", scientific_name="Avis una", common_name="NA")
    return table.set_index("recording", drop=False)


def test_it_lists_those_that_trained_with_all_that_licences_ask_for() -> None:
    table = attribution(recordings("b.ogg", "c.ogg", "a.ogg"), ["c.ogg", "a.ogg"])
    assert tuple(table.columns) == COLUMNS
    assert table["recording"].tolist() == ["a.ogg", "c.ogg"]
    assert table.iloc[0].tolist() == ["a.ogg", "Ann", "cc-by 4.0", "", "Avis una", "NA"]


def test_recordings_of_earlier_models_are_taken_over_once(
    store: Store, model_of: Callable[..., Ref]
) -> None:
    earlier = [
        store.get(model_of(seed, learnt=names)) / FILE
        for seed, names in enumerate([["x", "b"], ["a", "x"]])
    ]
    table = attribution(recordings("b", "c"), ["c", "b"], earlier)
    assert table["recording"].tolist() == ["a", "b", "c", "x"]
    assert table["author"].tolist() == ["", "Ann", "Ann", ""]


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    odd = recordings("a", author='Ann "Nan" O\'Hara, Jr')
    empty = recordings("b", author="")
    table = merged([odd, empty])
    table.to_csv(tmp_path / FILE, index=False)
    read = read_attribution(tmp_path / FILE)
    assert read.to_dict("records") == table.to_dict("records")
    assert read["common_name"].tolist() == ["NA", "NA"]


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        ("cc-by-nc-sa 4.0", "nc"),
        ("cc-by-nc-nd 2.5", "nc nd"),
        ("cc-by-nd 4.0", "nd"),
        ("CC BY-NC 3.0", "nc"),
        ("//creativecommons.org/licenses/by-nc-nd/4.0/", "nc nd"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 3.0", "nc"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 2.5", "nc nd"),
        ("cc-by-nc", "nc"),
        ("by-nc-sa", "nc"),
        ("by-nc-nd", "nc nd"),
        ("cc0", ""),
        ("by-sa", ""),
        ("cc0 1.0", ""),
        ("cc-by 4.0", ""),
        ("", "unknown"),
        (" ", "unknown"),
        ("nan", "unknown"),
    ],
)
def test_what_a_licence_forbids(licence: str, says: str) -> None:
    assert {key for key, count in terms([licence]).items() if count} == set(says.split())


def test_licences_of_real_recordings_are_counted(shared_data: Path) -> None:
    licences = read_tables(shared_data / "birdclef-mini").train["license"]
    counts = terms(licences)
    assert counts["nc"] == licences.str.contains("-nc").sum() > 0
    assert counts["nd"] == licences.str.contains("-nd").sum()
    assert counts["unknown"] == 0


def test_licences_of_2026_are_counted_in_either_spelling(shared_data: Path) -> None:
    licences = read_tables(shared_data / "birdclef-2026-mini").train["license"]
    assert {"by-nc-sa", "cc-by-nc"} <= set(licences)
    counts = terms(licences)
    assert counts["nc"] == licences.str.contains("nc").sum() > 0
    assert counts["unknown"] == 0


def test_a_list_opens_in_a_spreadsheet_without_a_formula_and_is_read_as_it_was(
    tmp_path: Path,
) -> None:
    table = attribution(recordings("-a.ogg", "=1+1", author="@SUM(1)"), ["-a.ogg", "=1+1"])
    write_attribution(tmp_path / FILE, table)
    lines = (tmp_path / FILE).read_text().splitlines()[1:]
    assert [line[:8] for line in lines] == ["'-a.ogg,", "'=1+1,'@"]
    assert read_attribution(tmp_path / FILE).equals(table.reset_index(drop=True).astype("str"))
