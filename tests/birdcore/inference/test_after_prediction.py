"""What is done after prediction, against slow loops, scipy's functions and the kit's own code."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d
from scipy.special import expit, logit

from birdcore.config import AfterPrediction
from birdcore.export.kit import rows as kit
from birdcore.inference.after_prediction import (
    Mixing,
    Operations,
    after_prediction,
    capped,
    mixed,
    operations_for,
    tempered,
    times_maximum,
)
from birdcore.inference.weights import blend

SPECIES = pd.DataFrame(
    [
        ("amered", "Setophaga ruticilla", "Aves", "1"),
        ("47158son01", "Insecta", "Insecta", "47158"),
        ("yelwar", "Setophaga petechia", "Aves", "2"),
        ("bawwar", "Mniotilta varia", "Aves", "3"),
        ("47158son02", "Insecta", "Insecta", "47158"),
        ("frog", "Boana raniceps", "Amphibia", ""),
        ("noname", "", "", ""),
    ],
    columns=["label", "scientific_name", "class_name", "inat_taxon_id"],
)
ALL = {
    "temperature": 1.7, "cap": 0.9, "max_sum": 1.5, "pool_same_taxon": True, "genus_share": 0.15,
    "class_share": 0.05, "smooth": {"birds": (0.2, 0.6, 0.2), "insects": (1.0,) * 5},
    "times_file_maximum": 0.7,
}  # fmt: skip


def operations(**said: object) -> Operations:
    found = operations_for(AfterPrediction.model_validate(said), SPECIES)
    assert found is not None
    return found


def table(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, len(SPECIES)))


def test_nothing_is_done_where_nothing_is_asked_for() -> None:
    assert operations_for(AfterPrediction(), SPECIES) is None
    np.testing.assert_array_equal(after_prediction(table(4), "aabb", Operations()), table(4))


def test_what_no_class_has_is_refused() -> None:
    for said, says in (
        ({"smooth": {"frgs": (1,)}}, "after_prediction.smooth names frgs, of which there is no"),
        (
            {"smooth": {"Aphibia": (1,)}},
            "no class; did you mean 'Amphibia'? There are Amphibia, ",
        ),
        ({"pooled": (("amered", "bawwr"),)}, "no class is called 'bawwr'; did you mean 'bawwar'?"),
    ):
        with pytest.raises(ValueError, match=re.escape(says)):
            operations(**said)
    alone = SPECIES[SPECIES["label"].isin(["amered", "bawwar"])]
    with pytest.raises(ValueError, match="genus_share has no effect: no two classes share a genus"):
        operations_for(AfterPrediction(genus_share=0.1), alone)


def test_temperature_divides_logits_and_leaves_what_is_certain() -> None:
    rows = table(5)
    np.testing.assert_allclose(tempered(rows, 2.5), expit(logit(rows) / 2.5), rtol=1e-12)
    np.testing.assert_array_equal(tempered(np.array([[0.0, 1.0]]), 2.5), [[0, 1]])


def test_a_blend_of_what_is_certain_may_be_a_little_above_one() -> None:
    """Shares of .2, .7 and .1 sum to more than 1, and the root is of 1 - p."""
    rows = blend(np.array([[[1.0, 0.0]]] * 3), [0.2, 0.7, 0.1])
    assert rows[0, 0] > 1
    np.testing.assert_allclose(tempered(rows, 2.0), [[1, 0]], atol=1e-12)
    asked = Operations(temperature=2.0)
    np.testing.assert_allclose(after_prediction(rows, "a", asked), [[1, 0]], atol=1e-12)
    of_kit = kit.after_prediction(rows, [1], asked.model_dump())
    np.testing.assert_allclose(of_kit, [[1, 0]], atol=1e-12)


def test_caps_are_of_a_probability_and_of_a_rows_sum() -> None:
    rows = np.array([[0.9, 0.6, 0.0], [0.1, 0.2, 0.3]])
    np.testing.assert_allclose(capped(rows, 0.8, None), [[0.8, 0.6, 0.0], [0.1, 0.2, 0.3]])
    np.testing.assert_allclose(capped(rows, 1.0, 0.75), [[0.45, 0.3, 0.0], [0.1, 0.2, 0.3]])


def test_groups_are_those_of_the_taxonomy() -> None:
    found = operations(genus_share=0.15, class_share=0.05, pool_same_taxon=True)
    assert found.mixings == (
        Mixing(share=1.0, groups=((1, 4),)),
        Mixing(share=0.15, groups=((0, 2),)),  # not Insecta, which is no genus
        Mixing(share=0.05, groups=((0, 2, 3), (1, 4))),
    )
    assert operations(pooled=[["frog", "amered"]]).mixings[0].groups == ((5, 0),)
    smooth = operations(smooth={"frogs": [1, 1, 1]}).smoothings
    assert [one.columns for one in smooth] == [(5,)]


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="pooled: no class is called 'yelwarb'; did you mean 'yel"):
        operations(pooled=[["amered", "yelwarb"]])


def test_mixing_keeps_sums_and_leaves_others() -> None:
    rows = table(6)
    found = mixed(rows, Mixing(share=0.3, groups=((0, 2, 3), (1, 4))))
    np.testing.assert_allclose(found.sum(axis=1), rows.sum(axis=1))
    np.testing.assert_array_equal(found[:, 5:], rows[:, 5:])
    np.testing.assert_allclose(found[:, 1], 0.85 * rows[:, 1] + 0.15 * rows[:, 4])


def test_times_the_maximum_is_of_each_class_and_recording() -> None:
    rows = np.array([[0.5, 0.2], [1.0, 0.0], [0.2, 0.4]])
    np.testing.assert_allclose(times_maximum(rows, 1), [[0.5, 0.08], [1, 0], [0.2, 0.16]])
    found = after_prediction(rows, ["a", "a", "b"], Operations(times_file_maximum=2))
    np.testing.assert_allclose(found, [[0.5, 0.2 * 0.04], [1, 0], [0.2**3, 0.4**3]])


def test_smoothing_is_scipys_of_each_recording_and_taxon() -> None:
    rows = table(9)
    found = after_prediction(rows, "aaaaabbbb", operations(smooth={"Aves": [0.2, 0.6, 0.2]}))
    birds = [0, 2, 3]
    for part in (slice(5), slice(5, 9)):
        expected = correlate1d(rows[part][:, birds], [0.2, 0.6, 0.2], axis=0, mode="nearest")
        np.testing.assert_allclose(found[part][:, birds], expected)
    np.testing.assert_array_equal(found[:, [1, 4, 5, 6]], rows[:, [1, 4, 5, 6]])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_all_of_it_is_what_the_kit_does(counts: list[int], seed: int) -> None:
    asked, rows = operations(**ALL), table(sum(counts), seed)
    recordings = [str(number) for number, count in enumerate(counts) for _ in range(count)]
    found = after_prediction(rows, recordings, asked)
    assert ((found >= 0) & (found <= 1)).all()
    of_kit = kit.after_prediction(rows, counts, asked.model_dump())
    np.testing.assert_allclose(of_kit, found, atol=1e-12)
    # Recordings do not know of each other.
    first = after_prediction(rows[: counts[0]], recordings[: counts[0]], asked)
    np.testing.assert_allclose(first, found[: counts[0]])
    np.testing.assert_array_equal(kit.after_prediction(rows, counts, None), rows)
