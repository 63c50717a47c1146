"""A round that is a probe: trained on an external teacher's embeddings, a member, and a teacher."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.config import RecipeError, read_recipe
from birdcore.inference.trained_model import EnsembleSpec
from birdcore.models.probe import load_probe
from birdcore.sources.birdclef import scan
from birdcore.stages.table import load_run
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.training.probe import SHARES
from birdcore.training.records import EXTERNAL, FILE
from flows.dag import Dag, build_dag
from flows.model_files import model_files
from tests.support.fake_teacher import fake_teacher
from tests.support.made import made_to

PROBE = """
[external_teacher]
[[round]]
name = "head"
objective = "probe"
epochs = 3
batch = 4
crop_s = 3.0
probe = { hidden = 8 }
"""
STUDENT = """
[[round]]
name = "taught"
backbones = ["test_resnet"]
teacher = "head"
epochs = 1
batch = 4
crop_s = 2.0
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("probe") / "store")


@pytest.fixture
def teacher(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that knows one species, in BirdNET's place."""
    known = tuple(pd.read_csv(tiny_data / "taxonomy.csv")["scientific_name"][:1])
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake_teacher(known))


@pytest.fixture
def probed(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, store: Store, teacher: None
) -> Callable[..., Dag]:
    """The DAG of a recipe with a probe and its student."""
    recipe = tmp_path / "probe.toml"
    text = tiny_recipe.read_text().replace("[[round]]", f"{PROBE}\n[[round]]", 1)
    recipe.write_text(text.replace("[score]", f"{STUDENT}\n[score]"))

    def build(*settings: str) -> Dag:
        chosen = read_recipe(recipe, list(settings))
        return build_dag(chosen, scan(tiny_data, store), store, keep_shards=True)

    return build


def test_a_probe_needs_no_mel_of_clips_and_is_the_same_again(
    probed: Callable[..., Dag], store: Store
) -> None:
    dag = probed()
    made = made_to("probe head fold 0", dag, store)
    assert not any(name.startswith(("mel", "train")) for name in made)
    probe = made["probe head fold 0"]
    held_out = pd.read_parquet(probe / "held_out.parquet")
    assert len(held_out) == probe.metrics["held_out"] > 0
    assert np.stack(held_out["probabilities"].to_list()).min() >= 0
    credits = pd.read_csv(probe / FILE)["recording"]
    assert (credits == f"{EXTERNAL}Fake").sum() == 1
    assert len(credits) == probe.metrics["trained_on"] + 1
    (step,) = (step for step in dag.steps if step.name == "probe head fold 0")
    weights = load_probe(probe.folder).state_dict()
    again = load_probe(store.make(step, load_run("probe"), refresh=True).folder).state_dict()
    assert all((weights[name] == again[name]).all() for name in weights)


@pytest.mark.parametrize(
    "settings",
    [
        ["round.head.probe.soundscapes=0"],
        ['round.head.probe.prior="added"', 'round.head.probe.pool="max"'],
        ['round.head.probe={solver="logistic", hidden=0, pool="mean", prior="residual"}'],
    ],
)
def test_settings_of_a_probe(probed: Callable[..., Dag], store: Store, settings: list[str]) -> None:
    made = made_to("probe head fold 0", probed(*settings), store)
    probe = made["probe head fold 0"]
    assert ("external_teacher birdnet train_soundscapes/0000" in made) == (
        "soundscapes=0" not in settings[0]
    )
    assert probe.metrics["auc"] is None or 0 <= probe.metrics["auc"] <= 1
    assert load_probe(probe.folder).spec.prior in (*SHARES, 1)


def test_what_a_solver_does_not_read_is_no_part_of_the_key(probed: Callable[..., Dag]) -> None:
    def key(*settings: str) -> str:
        (step,) = (step for step in probed(*settings).steps if step.name == "probe head fold 0")
        return step.key

    exact = 'round.head.probe={solver="logistic", hidden=0, pool="max"}'
    assert key(exact, "round.head.epochs=9") == key(exact)
    assert key("round.head.epochs=9") != key()
    assert key(exact, "round.head.weight_decay=0.5") != key(exact)
    assert key('round.head.loss="focal"') == key()


def test_it_is_a_member_and_teaches(probed: Callable[..., Dag], store: Store) -> None:
    made = made_to("train taught test_resnet fold 0", probed(), store)
    labels = pd.read_parquet(made["label for taught soundscapes 0000 fold 0"] / "labels.parquet")
    assert len(labels)
    made = made_to("submission", probed('ensemble.members=["head","first"]'), store)
    weights = made["ensemble"].metrics["weights"]
    assert set(weights) == {"head/probe", "first/test_resnet"}
    assert sum(weights.values()) == pytest.approx(1)
    rows = pd.read_parquet(made["predict head 0000"] / "predictions.parquet")
    assert set(rows["backbone"]) == {"probe"}


def test_a_recipe_may_have_probes_alone(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path, store: Store, teacher: None
) -> None:
    recipe = tmp_path / "alone.toml"
    base = f'base = "{tiny_recipe}"\ndrop_rounds = ["first", "second"]\n'
    recipe.write_text(f'{base}{PROBE}\n[ensemble]\nmembers = ["head", "external_teacher"]\n')
    exact = 'round.head.probe={solver="logistic", hidden=0, pool="max", prior="added"}'
    read_recipe(recipe, ['mel.features=["pcen"]'])  # no augmentation of a probe is in power
    dag = build_dag(read_recipe(recipe, [exact]), scan(tiny_data, store), store, keep_shards=True)
    made = made_to("report", dag, store)
    assert not any(name.startswith("train ") for name in made)
    page = (made["report"] / "index.html").read_text()
    assert "a head on the external teacher's embeddings" in page.replace("&#39;", "'")
    files = model_files(dag, store)
    spec = EnsembleSpec.model_validate_json(str(files["model/ensemble.json"]))
    assert set(spec.probes) == {"head/probe"}
    assert spec.windows is not None
    assert spec.windows.hop_s == 1.5
    assert spec.windows.frame_rate == read_recipe(recipe).mel.spec().frame_rate
    assert all(f"model/{name}/teacher.json" in files for name in spec.probes["head/probe"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('round.head.teacher="external_teacher"', "teacher.*does not go with objective"),
        ('round.head.probe={solver="logistic"}', "probe.hidden: must be 0"),
        ('round.head.probe={solver="logistic", hidden=0}', "probe.pool: must be"),
        (
            'round.head.probe={prior="residual", prior_share=0.25}',
            'prior_share.*is of prior = "added" alone',
        ),
        ("round.head.probe.hiden=3", "hidden"),
        ("round.first.backbones=[]", "must be a list of at least 1"),
        ('round.taught.label.teachers="out-of-fold"', "is a probe"),
        ('round.taught.init_from="head"', "no backbone to start from"),
        ("round.taught.label.external_weight=0.5", "does nothing under 'head', a probe"),
        ("round.taught.probe.hidden=9", 'is read by objective = "probe" alone'),
    ],
)
def test_what_does_not_go_together_is_refused(
    probed: Callable[..., Dag], setting: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        probed(setting)
