"""An outside teacher through the rounds: embeddings first, then labels, with its credit on all."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from birdcore.config import RecipeError, read_recipe
from birdcore.features.columns import stacked
from birdcore.inference.teacher_predictions import read_teacher_predictions, recording_probabilities
from birdcore.models.sed import load_model
from birdcore.sources.birdclef import scan
from birdcore.stages.table import load_run
from birdcore.store.artifact import Artifact
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.teachers.outputs import read_outputs
from birdcore.training.records import EXTERNAL, FILE
from flows.dag import Dag, build_dag
from tests.support.fake_teacher import fake_teacher
from tests.support.teacher_files import write_teacher

EMBED = """
[[round]]
name = "embed"
backbones = ["test_resnet"]
objective = "embeddings"
mixup.labels = "soft"
epochs = 2
batch = 4
crop_s = 2.0
"""
TAUGHT = """
[[round]]
name = "third"
backbones = ["test_resnet"]
teacher = "first"
label = { external_weight = 0.25, source = "both" }
epochs = 1
batch = 4
crop_s = 2.0
"""

LAST_LABEL = "label for third soundscapes 0000 fold 0"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One for all tests: what their recipes have in common is made once."""
    return Store(tmp_path_factory.mktemp("external_teacher") / "store")


@pytest.fixture
def taught(
    tiny_data: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Dag]:
    """The DAG of a recipe whose outside teacher knows two species."""
    known = tuple(pd.read_csv(tiny_data / "taxonomy.csv")["scientific_name"][:2])
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake_teacher(known))
    recipe = tmp_path / "outside.toml"
    text = tiny_recipe.read_text().replace(
        "[[round]]", f"[external_teacher]\n{EMBED}\n[[round]]", 1
    )
    recipe.write_text(text.replace("[score]", f"{TAUGHT}\n[score]"))

    def build(*settings: str) -> Dag:
        whole = [
            "round.1.init_from=embed",
            "round.1.init_weights=backbone",
            "round.2.teacher=external_teacher",
        ]
        chosen = read_recipe(recipe, [*whole, *settings])
        return build_dag(chosen, scan(tiny_data, store), store, keep_shards=True)

    return build


def made_to(last: str, dag: Dag, store: Store) -> dict[str, Artifact]:
    """The artifacts of all steps up to one that is named, by the names of their steps."""
    names = [step.name for step in dag.steps]
    steps = dag.steps[: names.index(last) + 1]
    return {step.name: store.make(step, load_run(step.stage)) for step in steps}


def segments(artifact: Artifact) -> pd.DataFrame:
    return pd.read_parquet(artifact / "labels.parquet")


def test_embedding_round_starts_label_round_and_all_credit_the_teacher(
    taught: Callable[..., Dag], store: Store
) -> None:
    made = made_to("train third test_resnet fold 1", taught(), store)
    embed = made["train embed test_resnet fold 0"]
    assert embed.metrics["auc"] is None
    assert -1 <= embed.metrics["cosine"] <= 1
    clips = len(pd.concat(kept(made, "train_audio"))["recording"].unique())
    soundscapes = len(pd.concat(kept(made, "train_soundscapes"))["recording"].unique())
    assert embed.metrics["trained_on"] == clips + soundscapes - embed.metrics["held_out"]
    assert not (embed / "held_out.parquet").exists()
    begun, shape = load_model(embed.folder)
    assert shape.embedding == 8
    for name in ("embed", "first", "second", "third"):
        credits = pd.read_csv(made[f"train {name} test_resnet fold 0"] / FILE)["recording"]
        assert (credits == f"{EXTERNAL}Fake").sum() == 1
        assert not credits.str.startswith("train_soundscapes").any()
    first, plain = load_model(made["train first test_resnet fold 0"].folder)
    assert plain.embedding is None
    assert {name for name, _ in first.named_parameters()} == {
        name for name, _ in begun.named_parameters() if not name.startswith("embedder")
    }


def kept(made: dict[str, Artifact], kind: str) -> list[pd.DataFrame]:
    return [
        pd.read_parquet(artifact / "kept.parquet")
        for name, artifact in made.items()
        if name.startswith(f"clean {kind}/")
    ]


def test_labels_equal_external_predictions_of_known_species(
    taught: Callable[..., Dag], store: Store
) -> None:
    dag = taught("round.2.label.power=1", "round.2.label.overlap=0.5")
    made = made_to("label for second soundscapes 0000", dag, store)
    table = segments(made["label for second soundscapes 0000"])
    step = made["label for second soundscapes 0000"].manifest
    said = stacked(table["probabilities"], np.float32)
    mask = stacked(table["mask"], np.bool_)
    names = list(table["recording"].unique())
    heard = read_outputs(
        [made["external_teacher birdnet train_soundscapes/0000"] / "heard.parquet"], names
    )
    rows = torch.tensor([names.index(name) for name in table["recording"]])
    seconds = float((table["end"] - table["start"]).iloc[0])
    told = heard.crop_probability(rows, torch.tensor(table["start"].to_numpy()), seconds).numpy()
    species = pd.read_parquet(made["catalog"] / "species.parquet")["scientific_name"]
    columns = [
        list(heard.info.species).index(s) if s in heard.info.species else -1 for s in species
    ]
    known = np.array(columns) >= 0
    assert known.sum() == 2
    np.testing.assert_allclose(said[:, known], told[:, np.array(columns)[known]], atol=1e-6)
    assert told.std() > 0
    assert not said[:, ~known].any()
    assert not mask[:, ~known].any()
    assert step.inputs["teacher"] == []


def test_external_weight_mixes_external_and_own_labels(
    taught: Callable[..., Dag], store: Store
) -> None:
    shares = {
        share: made_to(LAST_LABEL, taught(f"round.3.label.external_weight={share}"), store)
        for share in (0, 0.25)
    }
    alone, mixed = (segments(made[LAST_LABEL]) for made in shares.values())
    outside_only = segments(shares[0]["label for second soundscapes 0000"])
    own, both, only = (
        stacked(t["probabilities"], np.float32) for t in (alone, mixed, outside_only)
    )
    known = only.any(axis=0)
    np.testing.assert_allclose(both[:, known], (0.75 * own + 0.25 * only)[:, known], atol=1e-5)
    np.testing.assert_allclose(both[:, ~known], own[:, ~known], atol=1e-6)
    assert stacked(mixed["mask"], np.bool_).all() == stacked(alone["mask"], np.bool_).all()


def test_external_member_predicts_and_is_weighted_as_a_round(
    taught: Callable[..., Dag], store: Store
) -> None:
    members = 'ensemble.members=["first", "external_teacher"]'
    made = made_to("submission", taught(members, "ensemble.weights=mean"), store)
    shares = json.loads((made["ensemble"] / "weights.json").read_text())["weights"]
    assert shares == {"first/test_resnet": 0.5, "external_teacher/birdnet": 0.5}
    told = pd.read_parquet(made["predict external_teacher 0000"] / "predictions.parquet")
    ours = pd.read_parquet(made["predict first 0000"] / "predictions.parquet")
    assert list(told["recording"]) == list(ours["recording"])
    assert list(told["end"]) == list(ours["end"])
    names = list(told["recording"].unique())
    heard = read_outputs(
        [made["external_teacher birdnet test_soundscapes/0000"] / "heard.parquet"], names
    )
    rows = torch.tensor([names.index(name) for name in told["recording"]])
    begin = torch.tensor(told["end"].to_numpy() - 5.0)
    said = stacked(told["probabilities"], np.float32)
    species = list(pd.read_parquet(made["catalog"] / "species.parquet")["scientific_name"])
    columns = [species.index(name) for name in heard.info.species]
    wanted = heard.probability(rows, begin, 5.0).numpy()
    np.testing.assert_allclose(said[:, columns], wanted, atol=1e-6)
    assert wanted.std() > 0
    others = [at for at in range(len(species)) if at not in columns]
    assert not said[:, others].any()
    table = pd.read_csv(made["submission"] / "rounds" / "external_teacher.csv", index_col="row_id")
    assert len(table) == len(told)


def test_external_member_is_scored_by_its_loudest_window(
    taught: Callable[..., Dag], store: Store
) -> None:
    dag = taught('ensemble.members=["first", "external_teacher"]')
    made = made_to("ensemble", dag, store)
    heard = [
        a for name, a in made.items() if name.startswith("external_teacher birdnet train_audio")
    ]
    name = pd.read_parquet(heard[0] / "heard.parquet", columns=["recording"])["recording"][0]
    told = read_teacher_predictions(
        [a / "heard.parquet" for a in heard], made["catalog"] / "species.parquet", [name]
    )
    (said,) = recording_probabilities(told)
    loudest = read_outputs([a / "heard.parquet" for a in heard], [name]).probabilities.amax(dim=0)
    assert sorted(said[said > 0]) == sorted(loudest.float().numpy())


def test_external_teacher_reads_only_kinds_a_round_needs(taught: Callable[..., Dag]) -> None:
    def heard(*settings: str) -> set[str]:
        return {
            step.name.split()[2].split("/")[0]
            for step in taught(*settings).steps
            if step.stage == "external_teacher"
        }

    assert heard() == {"train_audio", "train_soundscapes"}
    still = [
        "round.0.objective=labels",
        "round.3.label.external_weight=0",
        "round.2.label.source=soundscapes",
    ]
    assert heard(*still) == {"train_soundscapes"}
    assert heard(*still, "round.2.teacher=first") == set()
    member = 'ensemble.members=["first", "external_teacher"]'
    assert heard(*still, "round.2.teacher=first", member) == {"train_audio", "test_soundscapes"}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("round.0.mixup.labels=max", 'must be "soft"'),
        ("round.0.sumix.probability=0.5", 'does not go with objective = "embeddings"'),
        ("round.0.reverse=0.5", 'does not go with objective = "embeddings"'),
        ("round.0.flip_frequency=0.5", 'does not go with objective = "embeddings"'),
        ("round.2.teacher=embed", "know the competition's classes, and one of these does not"),
        ('ensemble.members=["outsid"]', "no round has this name"),
        ('ensemble.members=["embed"]', "does not know the competition's classes"),
        ("external_teacher.teacher=perch", "must be one of birdnet"),
        ("round.2.teacher=outside", '"outside" is now "external_teacher"'),
        ('ensemble.members=["outside"]', '"outside" is now "external_teacher"'),
        ("outside.teacher=birdnet", "`outside` is now `external_teacher`"),
        ("round.3.label.outside=0.5", "`outside` is now `external_weight`"),
    ],
)
def test_unsupported_external_setting_is_refused(
    taught: Callable[..., Dag], setting: str, says: str
) -> None:
    with pytest.raises(RecipeError, match=None) as refused:
        taught(setting)
    assert says in str(refused.value)
    assert isinstance(refused.value, ValueError)


def test_missing_external_teacher_table_is_refused(tiny_recipe: Path) -> None:
    for setting in (
        "round.1.teacher=external_teacher",
        "round.1.label.external_weight=0.5",
        "round.0.objective=embeddings",
        'ensemble.members=["first", "external_teacher"]',
    ):
        more = ["round.0.mixup.labels=soft"] if "objective" in setting else []
        with pytest.raises(RecipeError, match=r"needs a table \[external_teacher\]"):
            read_recipe(tiny_recipe, [setting, *more])


def test_a_teacher_described_by_a_file_teaches_and_maps_what_it_does_not_know(
    taught: Callable[..., Dag], tiny_data: Path, store: Store, tmp_path: Path
) -> None:
    species = list(pd.read_csv(tiny_data / "taxonomy.csv")["scientific_name"])
    known, sister = species[1], f"{species[0].split()[0]} alius"
    path = write_teacher(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join([known, sister, "Rana alia", "Rana alba"]))
    (tmp_path / "synonyms.csv").write_text(
        f"class,teacher_name\n{species[2]},Rana alia\nNobody here,Rana alba\n"
    )
    table = [
        f"external_teacher.teacher={path}",
        "external_teacher.hop_s=0.5",
        "external_teacher.unknown=genus",
        f"external_teacher.synonyms={tmp_path / 'synonyms.csv'}",
        'ensemble.members=["first", "external_teacher"]',
    ]
    dag = taught(*table)
    (problem,) = (one for one in dag.problems if one.problem == "synonym of no class")
    assert problem.detail.startswith("Nobody here")
    made = made_to("report", dag, store)
    outputs = [a for name, a in made.items() if name.startswith("external_teacher cosines")]
    assert {len(one.metrics["mapped"]) for one in outputs} == {2}
    assert outputs[0].metrics["mapped"] == {
        species[0]: f"genus: {known}, {sister}", species[2]: "synonym: Rana alia",
    }  # fmt: skip
    assert outputs[0].metrics["unknown"] == []
    shares = json.loads((made["ensemble"] / "weights.json").read_text())["weights"]
    assert "external_teacher/cosines" in shares
    page = next(step for step in dag.steps if step.stage == "report")
    assert page.config["external_teacher"]["mapped"][species[0]] == f"genus: {known}, {sister}"
    assert str(tmp_path) not in json.dumps(page.config)
    assert (
        f"<li>{species[2]}: synonym: Rana alia</li>" in (made["report"] / "index.html").read_text()
    )
    attribution = pd.read_csv(made["train third test_resnet fold 1"] / "ATTRIBUTION.csv")
    row = attribution.set_index("recording").loc["external teacher: Cosines"]
    assert row["license"] == "CC BY-NC 4.0"


def test_a_teacher_whose_files_do_not_fit_is_refused_before_any_step(
    taught: Callable[..., Dag], tmp_path: Path
) -> None:
    path = write_teacher(tmp_path)
    taught(f"external_teacher.teacher={path}", "external_teacher.hop_s=0.5")
    with pytest.raises(ValueError, match="leave gaps: take more than 0 and at most"):
        taught(f"external_teacher.teacher={path}")
    (tmp_path / "labels.txt").write_text("Parus major\n")
    with pytest.raises(ValueError, match=r"labels\.txt: names 1 classes, and the output 'label'"):
        taught(f"external_teacher.teacher={path}", "external_teacher.hop_s=0.5")
