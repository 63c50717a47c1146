"""The ensemble stage: weights by what members say of recordings that they never saw."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from scipy.stats import pmean, rankdata
from sklearn.metrics import roc_auc_score

from birdcore.config import Ensemble
from birdcore.inference.weights import Blend, nnls_weights_by_class
from birdcore.stages import ensemble
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

MadeModel = Callable[..., Ref]
RECORDINGS = [f"r{i:02d}" for i in range(40)]
TARGETS = np.eye(4, dtype=np.float32)[np.arange(40) % 3]  # the fourth class never occurs
TARGETS[:5, 1] = 0.5  # soft secondary labels are no truth


def out_of_fold(recordings: Sequence[str], noise: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    targets = TARGETS[[RECORDINGS.index(r) for r in recordings]]
    probabilities = (targets + noise * rng.random(targets.shape)) / (1 + noise)
    return pd.DataFrame(
        {
            "recording": list(recordings),
            "targets": list(targets),
            "probabilities": list(probabilities.astype(np.float32)),
        }
    )


def weighed(
    store: Store,
    members: dict[str, tuple[Ref, ...]],
    how: str = "nnls",
    blend: Blend | None = "mean",
    **others: Any,
) -> tuple[Artifact, dict[str, Any]]:
    settings = Ensemble(weights=how, blend=blend, power=3.0, **others)  # type: ignore[arg-type]
    artifact = store.make(ensemble.step(settings, members), ensemble.run)
    return artifact, json.loads((artifact / "weights.json").read_text())


def scipys(columns: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Weights by scipy, of the classes that occur and on so many of the recordings."""
    matrix = np.stack([c[rows, :3].ravel() for c in columns], axis=1)
    weights = nnls(matrix, (TARGETS >= 1)[rows, :3].ravel().astype(float))[0]
    return np.asarray(weights / weights.sum())


def rounds_of(
    tables: Sequence[pd.DataFrame], model_of: MadeModel, seed: int = 0
) -> dict[str, tuple[Ref, ...]]:
    """A round of one model for each table; another seed makes other models."""
    names = ("one", "two", "three", "four")[: len(tables)]
    return {
        name: (model_of(seed + at, "abcd", held_out=table),)
        for at, (name, table) in enumerate(zip(names, tables, strict=True))
    }


def test_weights_are_scipys_nnls_on_the_held_out_recordings_of_all_folds(
    store: Store, model_of: MadeModel
) -> None:
    tables = {
        "one": [out_of_fold(RECORDINGS[:25], 0.7, 0), out_of_fold(RECORDINGS[25:], 0.7, 1)],
        # the other round's folds are other ones
        "two": [out_of_fold(RECORDINGS[1::2], 1.0, 2), out_of_fold(RECORDINGS[::2], 1.0, 3)],
    }
    members = {
        name: tuple(
            model_of(10 * at + fold, classes="abcd", held_out=table)
            for fold, table in enumerate(of_round)
        )
        for at, (name, of_round) in enumerate(tables.items())
    }
    artifact, content = weighed(store, members)
    columns = [
        np.stack(pd.concat(t).set_index("recording").loc[RECORDINGS, "probabilities"])
        for t in tables.values()
    ]
    expected = scipys(columns, np.ones(40, bool))
    truth = (TARGETS >= 1)[:, :3]
    names = ["one/test_resnet", "two/test_resnet"]
    assert list(content["weights"]) == names
    np.testing.assert_allclose(list(content["weights"].values()), expected, atol=1e-6)
    assert 0.05 < expected.min() < 0.45
    for name, column in zip(names, columns, strict=True):
        auc = roc_auc_score(truth, column[:, :3], average="macro")
        assert content["held_out_auc"][name] == pytest.approx(auc, abs=1e-9)
    # The ensemble is judged where its weights were not fitted.
    unseen = np.zeros((40, 3))
    for part in range(5):
        own = np.arange(40) % 5 == part
        unseen[own] = np.tensordot(scipys(columns, ~own), columns, 1)[own, :3]
    for name, blended in (("ensemble", unseen), ("mean", np.mean(columns, axis=0)[:, :3])):
        auc = roc_auc_score(truth, blended, average="macro")
        assert content["held_out_auc"][name] == pytest.approx(auc, abs=1e-6)
        assert artifact.metrics["held_out_auc"][name] == round(auc, 4)
    assert artifact.metrics["held_out_recordings"] == 40


def test_backbones_of_one_round_are_members_of_their_own(store: Store, model_of: MadeModel) -> None:
    good, bad = out_of_fold(RECORDINGS, 0.1, 0), out_of_fold(RECORDINGS, 0.0, 1)
    bad["probabilities"] = [p[::-1].copy() for p in bad["probabilities"]]
    models = (
        model_of(0, "abcd", held_out=good),
        model_of(1, "abcd", "test_efficientnet", held_out=bad),
    )
    _, content = weighed(store, {"one": models})
    assert set(content["weights"]) == {"one/test_resnet", "one/test_efficientnet"}
    assert content["weights"]["one/test_resnet"] > 0.9


def test_only_recordings_that_all_members_left_out_count(store: Store, model_of: MadeModel) -> None:
    tables = [out_of_fold(RECORDINGS[:30], 0.7, 0), out_of_fold(RECORDINGS[10:], 1.0, 1)]
    artifact, content = weighed(store, rounds_of(tables, model_of))
    assert artifact.metrics["held_out_recordings"] == 20
    common = RECORDINGS[10:30]
    same = rounds_of([table[table["recording"].isin(common)] for table in tables], model_of, 10)
    assert weighed(store, same)[1]["weights"] == content["weights"]


@pytest.mark.parametrize("how", ["auto", "nnls", "nnls-by-class", "mean"])
@pytest.mark.parametrize("blend", ["mean", "power", "rank"])
def test_without_a_common_held_out_recording_all_count_alike(
    store: Store, model_of: MadeModel, how: str, blend: Blend
) -> None:
    apart = [out_of_fold(RECORDINGS[:5], 0.7, 0), out_of_fold(RECORDINGS[5:9], 0.7, 0)]
    assert weighed(store, rounds_of(apart, model_of), how, blend)[1]["weights"] == {
        "one/test_resnet": 0.5,
        "two/test_resnet": 0.5,
    }
    nothing = rounds_of([out_of_fold([], 0.7, 0)] * 4, model_of, 10)  # all train everywhere
    artifact, content = weighed(store, nothing, how, blend)
    assert set(content["weights"].values()) == {0.25}
    assert artifact.metrics["held_out_auc"] == {}


@pytest.mark.parametrize("how", ["nnls", "nnls-by-class"])
def test_one_common_recording_is_judged_by_equal_weights(
    store: Store, model_of: MadeModel, how: str
) -> None:
    tables = [out_of_fold(RECORDINGS[:1], noise, seed) for seed, noise in enumerate((0.1, 9.0))]
    artifact, content = weighed(store, rounds_of(tables, model_of), how)
    assert artifact.metrics["held_out_recordings"] == 1
    assert content["held_out_auc"]["ensemble"] is None  # no negative beside the positive
    assert np.shape(list(content["weights"].values())) == ((2,) if how == "nnls" else (2, 4))


def test_without_least_squares_members_count_alike_whatever_they_say(
    store: Store, model_of: MadeModel
) -> None:
    tables = [out_of_fold(RECORDINGS, noise, seed) for seed, noise in enumerate((0.1, 9.0))]
    _, content = weighed(store, rounds_of(tables, model_of), "mean")
    assert set(content["weights"].values()) == {0.5}
    aucs = content["held_out_auc"]
    assert aucs["one/test_resnet"] == 1.0
    assert 0.5 < aucs["ensemble"] == aucs["mean"] < 1.0


def test_each_class_may_have_weights_of_its_own(store: Store, model_of: MadeModel) -> None:
    tables = [out_of_fold(RECORDINGS, 1.0, seed) for seed in (0, 1)]
    for table, deaf in zip(tables, (0, 1), strict=True):  # each member knows another class not
        told = np.stack(table["probabilities"])
        told[:, deaf] = np.roll(told[:, deaf], 1) / 2
        table["probabilities"] = list(told)
    artifact, content = weighed(store, rounds_of(tables, model_of), "nnls-by-class")
    weights = np.array(list(content["weights"].values()))
    predictions = np.stack([np.stack(table["probabilities"]) for table in tables])
    truth = np.where([True] * 3 + [False], TARGETS >= 1, np.nan)
    np.testing.assert_allclose(weights, nnls_weights_by_class(predictions, truth), atol=1e-6)
    assert content["classes"] == list("abcd")
    assert weights[1, 0] > 0.55
    assert weights[0, 1] > 0.55
    _, overall = weighed(store, rounds_of(tables, model_of))
    assert "classes" not in overall
    np.testing.assert_allclose(weights[:, 3], list(overall["weights"].values()), atol=1e-6)
    aucs = content["held_out_auc"]
    assert aucs["ensemble"] > max(aucs["mean"], overall["held_out_auc"]["ensemble"])
    told = artifact.metrics["weights"]
    assert told == {name: round(np.mean(w), 4) for name, w in content["weights"].items()}


@pytest.mark.parametrize("how", ["nnls", "mean"])
@pytest.mark.parametrize("blend", ["mean", "power", "rank"])
def test_the_auc_is_that_of_the_blend_that_is_chosen(
    store: Store, model_of: MadeModel, how: str, blend: Blend
) -> None:
    tables = [out_of_fold(RECORDINGS, noise, seed) for seed, noise in enumerate((1.0, 2.5))]
    tables[1]["probabilities"] = [p**4 for p in tables[1]["probabilities"]]
    _, content = weighed(store, rounds_of(tables, model_of), how, blend)
    assert content["blend"] == blend
    assert content.get("power") == (3.0 if blend == "power" else None)
    columns = np.array([np.stack(table["probabilities"]) for table in tables], np.float64)
    reference = np.zeros((40, 3))
    for part in range(5):
        own = np.arange(40) % 5 == part
        shares = scipys(columns, ~own) if how == "nnls" else np.ones(2)
        told = rankdata(columns, axis=1) if blend == "rank" else columns
        weights = shares[:, None, None] / shares.sum()
        blended = pmean(told, 3 if blend == "power" else 1, axis=0, weights=weights)
        reference[own] = blended[own, :3]
    auc = roc_auc_score((TARGETS >= 1)[:, :3], reference, average="macro")
    assert content["held_out_auc"]["ensemble"] == pytest.approx(auc, abs=1e-6)
    mean = roc_auc_score((TARGETS >= 1)[:, :3], columns.mean(axis=0)[:, :3], average="macro")
    assert content["held_out_auc"]["mean"] == pytest.approx(mean, abs=1e-6)
    assert (blend, how) == ("mean", "mean") or auc != mean


def test_power_is_part_of_the_key_where_it_is_read_alone() -> None:
    def key(blend: Blend, power: float) -> str:
        settings = Ensemble(weights="mean", blend=blend, power=power)
        return ensemble.step(settings, {"one": ()}).ref.key

    assert key("mean", 2.0) == key("mean", 3.0) != key("rank", 2.0)
    assert key("power", 2.0) != key("power", 3.0)


@pytest.mark.parametrize("how", ["auto", "nnls", "nnls-by-class"])
def test_held_out_recordings_without_a_scored_class_weigh_nothing(
    store: Store, model_of: MadeModel, how: str
) -> None:
    table = out_of_fold(RECORDINGS, 0.7, 0).assign(
        targets=[np.zeros(4, np.float32)] * len(RECORDINGS)
    )
    _, content = weighed(store, {"one": (model_of(0, "abcd", held_out=table),)}, how)
    assert content["weights"] == {"one/test_resnet": 1.0}
    assert content["held_out_auc"] == {"one/test_resnet": None, "mean": None, "ensemble": None}


def members_of_skill(
    recordings: int, skills: Sequence[float], seed: int, classes: int = 4
) -> list[pd.DataFrame]:
    """Members whose logits are this much of the truth and one of noise; the last class never is."""
    rng = np.random.default_rng(seed)
    targets = np.eye(classes, dtype=np.float32)[np.arange(recordings) % (classes - 1)]
    tables = []
    for skill in skills:
        logits = skill * targets + rng.normal(size=targets.shape)
        told = (1 / (1 + np.exp(-logits))).astype(np.float32)
        names = [f"r{at:04d}" for at in range(recordings)]
        columns = {"recording": names, "targets": list(targets), "probabilities": list(told)}
        tables.append(pd.DataFrame(columns))
    return tables


def test_weights_are_fitted_where_that_surely_holds_out_better(
    store: Store, model_of: MadeModel
) -> None:
    members = rounds_of(members_of_skill(300, (2.0, 0.0, 0.0), 0), model_of)
    artifact, content = weighed(store, members, "auto", None)
    compared = content["compared"]
    assert list(compared) == ["mean", "rank mean", "nnls"]
    assert content["chosen"] == artifact.metrics["chosen"] == "nnls"
    assert compared["nnls"]["gain"] > 2 * compared["nnls"]["standard_error"] > 0
    assert compared["nnls"]["auc"] - compared["mean"]["auc"] == compared["nnls"]["gain"]
    assert content["held_out_auc"]["ensemble"] == compared["nnls"]["auc"]
    assert content["weights"]["one/test_resnet"] > 0.6
    assert artifact.metrics["compared"]["nnls"]["gain"] == round(compared["nnls"]["gain"], 4)


def test_of_members_alike_the_mean_is_taken(store: Store, model_of: MadeModel) -> None:
    members = rounds_of(members_of_skill(300, (1.0, 1.0, 1.0), 1), model_of)
    _, content = weighed(store, members, "auto", None)
    assert (content["chosen"], content["blend"]) == ("mean", "mean")
    assert set(content["weights"].values()) == {1 / 3}
    assert content["held_out_auc"]["ensemble"] == content["held_out_auc"]["mean"]


def test_few_recordings_carry_no_fit(store: Store, model_of: MadeModel) -> None:
    members = rounds_of(members_of_skill(19, (3.0, 0.0), 2), model_of)
    _, content = weighed(store, members, "auto", None)
    assert content["chosen"] == "mean"
    assert content["compared"]["nnls"]["auc"] > content["compared"]["mean"]["auc"]


def test_ranks_are_blended_where_one_member_is_loud_and_deaf(
    store: Store, model_of: MadeModel
) -> None:
    good, deaf = members_of_skill(400, (2.0, 0.3), 3)
    good["probabilities"] = [p / 1000 for p in good["probabilities"]]
    _, content = weighed(store, rounds_of([good, deaf], model_of), "auto", None)
    assert content["chosen"] in ("rank mean", "nnls")
    assert content["compared"]["rank mean"]["gain"] > 0
    assert content["blend"] == ("rank" if content["chosen"] == "rank mean" else "mean")


def test_a_blend_that_is_said_is_kept(store: Store, model_of: MadeModel) -> None:
    members = rounds_of(members_of_skill(60, (1.0, 1.0), 4), model_of)
    for blend, names in (
        ("rank", ["rank mean", "rank nnls"]),
        ("power", ["power mean", "power nnls"]),
    ):
        _, content = weighed(store, members, "auto", blend)  # type: ignore[arg-type]
        assert list(content["compared"]) == names
        assert content["blend"] == blend


def test_one_member_is_compared_with_nothing(store: Store, model_of: MadeModel) -> None:
    _, content = weighed(store, rounds_of(members_of_skill(300, (1.0,), 5), model_of), "auto", None)
    assert content["chosen"] == "mean"
    assert content["weights"] == {"one/test_resnet": 1.0}
    assert list(content["compared"]) == ["mean"]


SPECIES = pd.DataFrame(
    {
        "label": list("abcd"),
        "class_name": ["Aves", "Insecta", "Amphibia", "Aves"],
        "scientific_name": "",
        "inat_taxon_id": "",
    }
)


def test_weights_of_a_taxon_without_a_class_are_refused_before_members_are_read(
    store: Store, publish: Callable[..., Ref]
) -> None:
    settings = Ensemble(taxon_weights={"bats": {"one": 1}})
    catalog = publish("catalog", {"species.parquet": SPECIES})
    step = ensemble.step(settings, {"one": (Ref("train", "0" * 64),)}, catalog=catalog)
    says = r"^ensemble\.taxon_weights names Chiroptera, of which there is no class.*Insecta$"
    with pytest.raises(ValueError, match=says):
        store.make(step, ensemble.run)


def test_weights_of_a_taxon_go_before_others(
    store: Store, model_of: MadeModel, publish: Callable[..., Ref]
) -> None:
    tables = members_of_skill(80, (1.0, 1.0, 3.0), 6)
    first, second, third = (
        model_of(at, "abcd", backbone, held_out=table)
        for at, (backbone, table) in enumerate(
            zip(("test_resnet", "test_efficientnet", "test_resnet"), tables, strict=True)
        )
    )
    rounds = {"one": (first, second), "two": (third,)}
    said = {"insects": {"one": 2, "two": 6}, "frogs": {"two": 1}}
    settings = Ensemble(weights="mean", taxon_weights=said)
    catalog = publish("catalog", {"species.parquet": SPECIES})
    step = ensemble.step(settings, rounds, catalog=catalog)
    content = json.loads((store.make(step, ensemble.run) / "weights.json").read_text())
    assert content["classes"] == list("abcd")
    third_each = 1 / 3
    shares = {
        "one/test_resnet": [third_each, 0.125, 0, third_each],
        "one/test_efficientnet": [third_each, 0.125, 0, third_each],
        "two/test_resnet": [third_each, 0.75, 1, third_each],
    }
    assert content["weights"].keys() == shares.keys()
    for name, share in shares.items():
        np.testing.assert_allclose(content["weights"][name], share)
    # The ensemble is judged as it is used.
    columns = [np.stack(table["probabilities"])[:, :3] for table in tables]
    blended = np.einsum("mc,mnc->nc", np.array(list(shares.values()))[:, :3], columns)
    auc = roc_auc_score(np.stack(tables[0]["targets"])[:, :3], blended, average="macro")
    assert content["held_out_auc"]["ensemble"] == pytest.approx(auc, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_members_that_say_nothing_are_no_error(
    store: Store, model_of: MadeModel, constant: float
) -> None:
    tables = members_of_skill(80, (1.0, 1.0), 6)
    silent = [np.full(4, constant, np.float32)] * 80
    all_silent = [table.assign(probabilities=silent) for table in tables]
    _, content = weighed(store, rounds_of(all_silent, model_of), "auto", None)
    assert content["chosen"] == "mean"
    assert {one["auc"] for one in content["compared"].values()} == {0.5}
    some = rounds_of([tables[0], all_silent[1]], model_of, 10)
    assert weighed(store, some, "auto", None)[1]["chosen"] == "mean"  # a constant shifts no order


def of_windows(table: pd.DataFrame, windows: int) -> pd.DataFrame:
    """The table, whose last recordings are windows of some recordings, four of each."""
    names = table["recording"].tolist()
    named = [f"s{at // 4}.ogg#t={at % 4 * 5},{at % 4 * 5 + 5}" for at in range(windows)]
    return table.assign(recording=[*names[: len(names) - windows], *named])


@pytest.mark.parametrize(("kind", "rows"), [("all", 40), ("annotated", 24), ("clips", 16)])
def test_weights_of_one_kind_of_held_out(
    store: Store, model_of: MadeModel, kind: str, rows: int
) -> None:
    tables = [of_windows(out_of_fold(RECORDINGS, noise, at), 24) for at, noise in enumerate((1, 2))]
    artifact, content = weighed(store, rounds_of(tables, model_of), held_out=kind)
    assert artifact.metrics["held_out_recordings"] == rows
    assert "held_out_note" not in artifact.metrics
    own = {"all": slice(None), "annotated": slice(16, 40), "clips": slice(16)}[kind]
    columns = [np.stack(table["probabilities"][own]) for table in tables]
    expected = nnls(
        np.stack([column[:, :3].ravel() for column in columns], axis=1),
        (TARGETS >= 1)[own, :3].ravel().astype(float),
    )[0]
    weights = list(content["weights"].values())
    np.testing.assert_allclose(weights, expected / expected.sum(), atol=1e-6)
    # The ensemble is judged on recordings none of whose windows its weights were fitted on.
    recording = [name.partition("#t=")[0] for name in sorted(tables[0]["recording"][own])]
    order = np.argsort(tables[0]["recording"][own].to_numpy())
    part = pd.factorize(np.array(recording))[0] % 5
    truth, unseen = (TARGETS >= 1)[own, :3][order], np.zeros((rows, 3))
    for number in range(5):
        held = part == number
        fitted = nnls(
            np.stack([c[order][~held, :3].ravel() for c in columns], axis=1),
            truth[~held].ravel().astype(float),
        )[0]
        unseen[held] = np.tensordot(fitted, [c[order][held, :3] for c in columns], 1) / fitted.sum()
    auc = roc_auc_score(truth, unseen, average="macro")
    assert content["held_out_auc"]["ensemble"] == pytest.approx(auc, abs=1e-6)


def test_weights_of_a_kind_that_is_not_held_out(store: Store, model_of: MadeModel) -> None:
    tables = [out_of_fold(RECORDINGS, 0.7, 0), out_of_fold(RECORDINGS, 1.0, 1)]
    members = rounds_of(tables, model_of)
    artifact, content = weighed(store, members, held_out="annotated")
    assert "no windows of annotated recordings" in artifact.metrics["held_out_note"]
    assert content["weights"] == weighed(store, members)[1]["weights"]
