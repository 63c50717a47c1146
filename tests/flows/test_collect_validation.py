"""`experiments/validation.py` on a recipe that collects: which models are judged, and where."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from birdcore.config import read_recipe
from birdcore.sources.birdclef import scan
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.store.store import Store
from flows.dag import Dag, build_dag

PATH = Path(__file__).parents[2] / "experiments" / "validation.py"


@pytest.fixture(scope="module")
def validation() -> ModuleType:
    spec = spec_from_file_location("validation", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(tiny_data: Path, tmp_path: Path) -> Callable[[Path], Dag]:
    def dag(recipe: Path) -> Dag:
        store = Store(tmp_path / "store")
        audio = tuple(SourceFile(f"recordings/XC{n}.mp3", 9, f"sound {n}") for n in range(5))
        collected = Source(
            "xeno-canto",
            tmp_path / "collection",
            (Subset("xeno_canto", "labelled", audio),),
            {"chosen.parquet": "5 records"},
        )
        parts = read_recipe(recipe), scan(tiny_data, store), store
        return build_dag(*parts, [collected], keep_shards=False)

    return dag


def test_models_of_other_species_are_not_judged(
    validation: ModuleType, build: Callable[[Path], Dag], pretrain_recipe: Path
) -> None:
    dag = build(pretrain_recipe)
    assert sum(step.stage == "train" for step in dag.steps) == 3
    assert [step.name for step in validation.evaluated(dag)] == [
        "train first test_resnet fold 0", "train first test_resnet fold 1",
    ]  # fmt: skip


def test_the_collection_is_where_one_says(
    validation: ModuleType,
    tiny_data: Path,
    tmp_path: Path,
    pretrain_recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = ["--data", tiny_data, "--store", tmp_path / "store", "--collection", tmp_path / "own"]
    monkeypatch.setattr("sys.argv", [*map(str, ["validation", pretrain_recipe, *folders])])
    with pytest.raises(ValueError, match=rf"{tmp_path / 'own'} holds no recording that"):
        validation.main()
