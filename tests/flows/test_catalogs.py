"""A data folder and a folder beside it in one run: what is used of which, and never of both."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.config import Recipe, read_recipe
from birdcore.csv_table import TableError
from birdcore.inference.after_prediction import operations_for
from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import read_species
from birdcore.sources.further import further_sources
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.stages.table import make
from birdcore.store.artifact import Artifact
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from birdcore.training.records import FILE, read_attribution
from flows.dag import Dag, build_dag
from flows.problems import found_by_steps
from tests.support.made import made_to

SOURCE = """
[[source]]
path = "field/crickets"
weight = 0.5
synonyms = "field/synonyms.csv"
"""
TOLD = {
    "whistler": "Demoavis sinus",
    "old": "Avis vetus",
    "gryllus": "Gryllus campestris",
}
SETTINGS = ("folds.train=[0]", "round.0.epochs=1")


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, 0.2 * np.random.default_rng(seed).standard_normal(3 * 32_000), 32_000)


def write_field(field: Path, data: Path) -> None:
    """Recordings of four classes and negatives; two of them are the data folder's own."""
    crickets = field / "crickets"
    for seed, name in enumerate(
        ("whistler/1", "whistler/2", "Demoavis_celer/1", "old/1", "gryllus/1", "noise/1")
    ):
        noise(crickets / f"{name}.wav", seed)
    shutil.copyfile(data / "train_audio/swefin/DEMO000003.ogg", crickets / "old/copy.ogg")
    audio, rate = sf.read(data / "test_soundscapes/D002_20250602_050000.ogg")
    sf.write(crickets / "whistler/heard.flac", 0.5 * audio[rate // 2 :], rate)
    rows = "\n".join(f"{label},{name}" for label, name in TOLD.items())
    (crickets / "classes.csv").write_text(f"label,scientific_name\n{rows}\n")
    (field / "synonyms.csv").write_text("name,accepted\nAvis vetus,Demoavis ascendens\n")


def write_recipe(path: Path, tiny_recipe: Path, sources: str = SOURCE) -> Path:
    """The tiny recipe's first round, with further sources."""
    head, one, *_ = tiny_recipe.read_text().split("[[round]]")
    path.write_text(f"{head}{sources}\n[[round]]{one}")
    return path


def dag_of(recipe: Recipe, data: Path, store: Store) -> Dag:
    source = scan(data, store)
    further = further_sources(recipe, source, store)
    return build_dag(recipe, source, store, (), further, keep_shards=True)


@dataclass(frozen=True)
class Made:
    dag: Dag
    store: Store
    artifacts: dict[str, Artifact]

    def recordings(self) -> pd.DataFrame:
        return pd.read_parquet(self.artifacts["joined"] / "recordings.parquet").set_index(
            "recording"
        )


@pytest.fixture(scope="module")
def made(tiny_data: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A whole run of one model on two sources."""
    root = tmp_path_factory.mktemp("further")
    write_field(root / "field", tiny_data)
    store = Store(root / "store")
    recipe = read_recipe(write_recipe(root / "two.toml", tiny_recipe), SETTINGS)
    dag = dag_of(recipe, tiny_data, store)
    artifacts = {step.name: make(step, store, no_progress, refresh=False) for step in dag.steps}
    return Made(dag, store, artifacts)


def test_classes_are_those_of_the_species(made: Made) -> None:
    labels = made.recordings()["primary_label"]
    assert labels["crickets/whistler/1.wav"] == "plawhi"  # by classes.csv
    assert labels["crickets/Demoavis_celer/1.wav"] == "ratrob"  # by the folder's name
    assert labels["crickets/old/1.wav"] == "swefin"  # by a synonym
    species = pd.read_parquet(made.artifacts["joined"] / "species.parquet")
    assert list(species["label"]) == ["plawhi", "ratrob", "swefin"]


def test_species_of_no_class_is_left_out_and_told(made: Made) -> None:
    row = made.recordings().loc["crickets/gryllus/1.wav"]
    assert not row["usable"]
    problems = [p for p in found_by_steps(made.dag, made.store) if p.where == "crickets: gryllus"]
    assert [p.problem for p in problems] == ["species that is no class of the data folder"]


def test_what_the_data_folder_has_as_well_does_not_train(made: Made) -> None:
    rows, why = made.recordings(), {}
    for problem in found_by_steps(made.dag, made.store):
        if problem.problem == "recording of an earlier source":
            why[problem.where] = problem.detail
    assert why.keys() == {"crickets/old/copy.ogg", "crickets/whistler/heard.flac"}
    assert why["crickets/old/copy.ogg"].startswith(
        "the same as train_audio/swefin/DEMO000003.ogg, by content"
    )
    assert why["crickets/whistler/heard.flac"].startswith(
        "the same as test_soundscapes/D002_20250602_050000.ogg, by audio"
    )
    assert not rows.loc[list(why), "usable"].any()
    assert rows.loc["train_audio/swefin/DEMO000003.ogg", "usable"]
    trained = read_attribution(made.artifacts["train first test_resnet fold 0"] / FILE)
    assert not why.keys() & set(trained["recording"])


def test_all_others_train_or_validate(made: Made) -> None:
    model = made.artifacts["train first test_resnet fold 0"]
    folds = pd.read_parquet(made.artifacts["folds"] / "folds.parquet").set_index("recording")
    own = [name for name in folds.index if name.startswith("crickets/")]
    assert set(own) == {
        "crickets/whistler/1.wav",
        "crickets/whistler/2.wav",
        "crickets/Demoavis_celer/1.wav",
        "crickets/old/1.wav",
        "crickets/noise/1.wav",
    }
    trained = read_attribution(model / FILE)
    held_out = pd.read_parquet(model / "held_out.parquet")["recording"].str.split("#").str[0]
    assert set(trained["recording"]) | set(held_out) == set(folds.index)
    assert not set(trained["recording"]) & set(held_out)
    named = trained.set_index("recording").filter(like="crickets/whistler", axis=0)
    assert set(named["scientific_name"]) <= {"Demoavis sinus"}


def test_steps_are_named_by_source(made: Made) -> None:
    names = {step.name for step in made.dag.steps}
    assert {"clean crickets_clips/0000", "mel crickets_annotated/0000"} <= names
    assert {"leaks crickets_clips/0000", "collection crickets", "joined"} <= names


def test_weights_are_in_the_catalogue(made: Made) -> None:
    by_source = made.recordings().groupby("source")["weight"].unique()
    assert {source: list(weights) for source, weights in by_source.items()} == {
        "": [1.0],
        "crickets": [0.5],
    }


def test_results_are_those_of_the_data_folder(made: Made) -> None:
    rows = pd.read_csv(made.artifacts["submission"] / "submission.csv")
    assert list(rows.columns) == ["row_id", "plawhi", "ratrob", "swefin"]
    page = (made.artifacts["report"] / "index.html").read_text()
    assert "crickets" in page


def test_two_sources_share_nothing_either(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    write_field(tmp_path / "field", tiny_data)
    other = tmp_path / "field/other"
    noise(other / "Demoavis_sinus/new.wav", 20)
    noise(other / "Demoavis_celer/also.wav", 0)  # as crickets/whistler/1.wav
    text = f'{SOURCE}\n[[source]]\npath = "field/other"\n'
    recipe = read_recipe(write_recipe(tmp_path / "three.toml", tiny_recipe, text), SETTINGS)
    dag = dag_of(recipe, tiny_data, Store(tmp_path / "store"))
    (leaks,) = [step for step in dag.of("leaks") if step.name == "leaks other_clips/0000"]
    assert [row[:3] for row in leaks.config["found"]] == [
        ["other/Demoavis_celer/also.wav", "crickets/whistler/1.wav", "content"]
    ]


DESCRIBED = ("catalog", "fingerprint", "leaks", "collection", "joined", "folds")
LAYOUTS = """
[[source]]
path = "field/competition"

[[source]]
path = "field/events"
classes = "all"
annotations = { complete = true }
"""


def write_layouts(field: Path, data: Path) -> None:
    """A competition's folder, and recordings with tables of labels."""
    earlier = field / "competition"
    for seed, name in enumerate(("train_audio/x/1.wav", "train_audio/x/XC77.wav")):
        noise(earlier / name, 30 + seed)
    noise(earlier / "train_soundscapes/s.wav", 32)
    (earlier / "train.csv").write_text(
        "primary_label,filename,author,scientific_name,rating\n"
        "x,x/1.wav,Ada Formula,Demoavis sinus,4\nx,x/XC77.wav,Bea,Demoavis sinus,4\n"
    )
    noise(field / "events/site/1.wav", 33)
    shutil.copyfile(data / "test_soundscapes/D003_20250602_060000.ogg", field / "events/site/2.ogg")
    for name in ("1", "2"):
        labels = "0.5\t1.0\tDemoavis sinus\n1.0\t2.0\tnew cricket\n"
        (field / f"events/site/{name}.txt").write_text(labels)


def test_sources_of_other_layouts(data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    write_layouts(tmp_path / "field", data)
    table = data / "train.csv"
    table.write_text(table.read_text().replace("https://example.org/demo/0", "https://a.org/XC77"))
    recipe = read_recipe(write_recipe(tmp_path / "three.toml", tiny_recipe, LAYOUTS), SETTINGS)
    store = Store(tmp_path / "store")
    dag = dag_of(recipe, data, store)
    assert any(p.where == "competition" and p.detail == "1: not used" for p in dag.problems)
    some = [step for step in dag.steps if step.stage in DESCRIBED]
    artifacts = {step.name: make(step, store, no_progress, refresh=False) for step in some}
    rows = Made(dag, store, artifacts).recordings()
    assert rows.loc["competition/train_audio/x/1.wav", "usable"]
    assert rows.loc["competition/train_audio/x/1.wav", "author"] == "Ada Formula"
    why = {
        problem.where: problem.detail
        for problem in found_by_steps(dag, store)
        if problem.problem == "recording of an earlier source"
    }
    assert why.keys() == {"competition/train_audio/x/XC77.wav", "events/site/2.ogg"}
    assert why["competition/train_audio/x/XC77.wav"].endswith("by id: XC77")
    labels = pd.read_parquet(artifacts["joined"] / "species.parquet")["label"]
    assert list(labels) == ["plawhi", "ratrob", "swefin", "new cricket"]
    annotations = pd.read_parquet(artifacts["joined"] / "annotations.parquet")
    kinds = annotations.groupby("recording")[["label", "kind"]].agg(list).to_dict("index")
    assert kinds == {
        "events/site/1.wav": {
            "label": ["plawhi", "new cricket", "ratrob", "swefin"],
            "kind": ["present", "present", "uncertain", "uncertain"],
        }
    }
    folds = set(pd.read_parquet(artifacts["folds"] / "folds.parquet")["recording"])
    assert {name for name in folds if not name.startswith("train_audio/")} == {
        "competition/train_audio/x/1.wav",
        "events/site/1.wav",
    }


def test_a_collection_is_compared_with_all_sources(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    write_field(tmp_path / "field", tiny_data)
    store = Store(tmp_path / "store")
    recipe = read_recipe(write_recipe(tmp_path / "two.toml", tiny_recipe), SETTINGS)
    source = scan(tiny_data, store)
    further = further_sources(recipe, source, store)
    (copied, *_) = further[0].subset("labelled").files
    audio = (SourceFile("recordings/XC1.mp3", 9, copied.sha256),)
    subset = Subset("xeno_canto", "labelled", audio)
    collected = Source("xeno-canto", tmp_path / "collection", (subset,), {"chosen.parquet": "1"})
    dag = build_dag(recipe, source, store, [collected], further, keep_shards=False)
    (leaks,) = [step for step in dag.of("leaks") if step.name == "leaks xeno_canto/0000"]
    assert [row[:3] for row in leaks.config["found"]] == [
        ["recordings/XC1.mp3", copied.path, "content"]
    ]


def test_without_a_source_nothing_changes(
    tiny_data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    write_field(tmp_path / "field", tiny_data)
    store = Store(tmp_path / "store")
    plain = read_recipe(write_recipe(tmp_path / "plain.toml", tiny_recipe, ""))
    two = read_recipe(write_recipe(tmp_path / "two.toml", tiny_recipe))
    before, after = dag_of(plain, tiny_data, store), dag_of(two, tiny_data, store)
    assert not before.of("joined")
    for stage in ("catalog", "clean", "mel"):
        kept = {step.key for step in before.of(stage)}
        assert kept < {step.key for step in after.of(stage)} or stage == "catalog"
    assert before.of("catalog")[0].key == after.of("catalog")[0].key


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere", "source.0.path: there is no folder"),
        ("data", "is the data folder itself"),
        ("field/train_audio", "names of recordings begin with the folder's name"),
    ],
)
def test_refused(path: str, says: str, data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    noise(tmp_path / "field/train_audio/Demoavis_celer/1.wav", 1)
    noise(tmp_path / "field/train_audio/Demoavis_sinus/1.wav", 2)
    text = f'[[source]]\npath = "{path}"\n'
    recipe = read_recipe(write_recipe(tmp_path / "one.toml", tiny_recipe, text))
    with pytest.raises(TableError, match=says):
        dag_of(recipe, data, Store(tmp_path / "store"))


def test_taxa_that_a_source_brings_are_known_to_the_catalogue(
    data: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(("gryllus/1.wav", "noise/1.wav")):
        noise(tmp_path / "field/events" / name, 34 + seed)
    table = "label,scientific_name,group\ngryllus,Gryllus campestris,crickets\n"
    (tmp_path / "field/events/classes.csv").write_text(table)
    brought = '\n[[source]]\npath = "field/events"\nclasses = "all"\n'
    text = f"{brought}\n[after_prediction]\nsmooth = {{ Insecta = [1, 1, 1], birds = [1] }}\n"
    recipe = read_recipe(write_recipe(tmp_path / "three.toml", tiny_recipe, text), SETTINGS)
    store = Store(tmp_path / "store")
    dag = dag_of(recipe, data, store)
    (catalog,) = [step for step in dag.of("joined")]
    made_to(catalog.name, dag, store)
    species = read_species(store.get(catalog.ref))
    operations = operations_for(recipe.after_prediction, species)
    assert operations is not None
    assert [each.columns for each in operations.smoothings] == [(3,), (0, 1, 2)]
