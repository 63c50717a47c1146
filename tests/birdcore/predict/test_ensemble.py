"""The ensemble stage: weights by what members say of recordings that they never saw."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from sklearn.metrics import roc_auc_score

from birdcore.artifact import Artifact, Ref
from birdcore.predict import ensemble
from birdcore.store import Store

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
    store: Store, members: dict[str, tuple[Ref, ...]], how: str = "nnls"
) -> tuple[Artifact, dict[str, dict[str, float]]]:
    artifact = store.make(ensemble.step(how, members), ensemble.run)
    return artifact, json.loads((artifact / "weights.json").read_text())


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
    truth = (TARGETS >= 1)[:, :3]
    matrix = np.stack([c[:, :3].ravel() for c in columns], axis=1)
    expected = nnls(matrix, truth.ravel().astype(float))[0]
    expected /= expected.sum()
    names = ["one/test_resnet", "two/test_resnet"]
    assert list(content["weights"]) == names
    np.testing.assert_allclose(list(content["weights"].values()), expected, atol=1e-6)
    assert 0.05 < expected.min() < 0.45
    for name, column in zip(names, columns, strict=True):
        auc = roc_auc_score(truth, column[:, :3], average="macro")
        assert content["held_out_auc"][name] == pytest.approx(auc, abs=1e-9)
    blended = np.tensordot(expected, columns, 1)[:, :3]
    assert content["held_out_auc"]["ensemble"] == pytest.approx(
        roc_auc_score(truth, blended, average="macro"), abs=1e-6
    )
    assert artifact.facts["held_out_recordings"] == 40


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
    one, two = out_of_fold(RECORDINGS[:30], 0.7, 0), out_of_fold(RECORDINGS[10:], 1.0, 1)
    members = {
        "one": (model_of(0, "abcd", held_out=one),),
        "two": (model_of(1, "abcd", held_out=two),),
    }
    artifact, content = weighed(store, members)
    assert artifact.facts["held_out_recordings"] == 20
    common = RECORDINGS[10:30]
    same = {
        name: (model_of(10 + at, "abcd", held_out=table[table["recording"].isin(common)]),)
        for at, (name, table) in enumerate({"one": one, "two": two}.items())
    }
    assert weighed(store, same)[1]["weights"] == content["weights"]


@pytest.mark.parametrize("how", ["nnls", "mean", "rank"])
def test_without_a_common_held_out_recording_all_count_alike(
    store: Store, model_of: MadeModel, how: str
) -> None:
    members = {
        "one": (model_of(0, "abcd", held_out=out_of_fold(RECORDINGS[:5], 0.7, 0)),),
        "two": (model_of(1, "abcd", held_out=out_of_fold(RECORDINGS[5:9], 0.7, 0)),),
    }
    assert weighed(store, members, how)[1]["weights"] == {
        "one/test_resnet": 0.5,
        "two/test_resnet": 0.5,
    }
    nothing = {
        name: (model_of(10 + at, "abcd", held_out=out_of_fold([], 0.7, 0)),)
        for at, name in enumerate(("one", "two", "three", "four"))
    }
    artifact, content = weighed(store, nothing, how)
    assert set(content["weights"].values()) == {0.25}
    assert artifact.facts["held_out_auc"] == {}


@pytest.mark.parametrize("how", ["mean", "rank"])
def test_other_ways_weigh_members_alike_whatever_they_say(
    store: Store, model_of: MadeModel, how: str
) -> None:
    members = {
        "one": (model_of(0, "abcd", held_out=out_of_fold(RECORDINGS, 0.1, 0)),),
        "two": (model_of(1, "abcd", held_out=out_of_fold(RECORDINGS, 9.0, 1)),),
    }
    _, content = weighed(store, members, how)
    assert set(content["weights"].values()) == {0.5}
    assert content["how"] == how
    assert content["held_out_auc"]["one/test_resnet"] == 1.0
    assert 0.5 < content["held_out_auc"]["ensemble"] <= 1.0


def test_held_out_recordings_without_a_scored_class_weigh_nothing(
    store: Store, model_of: MadeModel
) -> None:
    table = out_of_fold(RECORDINGS, 0.7, 0).assign(
        targets=[np.zeros(4, np.float32)] * len(RECORDINGS)
    )
    _, content = weighed(store, {"one": (model_of(0, "abcd", held_out=table),)})
    assert content["weights"] == {"one/test_resnet": 1.0}
    assert content["held_out_auc"] == {"one/test_resnet": None, "ensemble": None}
