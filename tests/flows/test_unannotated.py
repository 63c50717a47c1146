"""A student of recordings with verdicts: what nobody judged of them is labelled by the teacher."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from birdcore.config import Recipe, RecipeError, read_recipe
from birdcore.config.training import TrainConfig
from birdcore.detection.review_order import Clip
from birdcore.detection.review_table import Verdict, open_table
from birdcore.sources.data_folder import read_data
from birdcore.stages import train
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.training.records import FILE
from birdcore.training.training_set import TrainingSet, read_training_set
from flows.dag import Dag, build_dag
from flows.request import fitted
from tests.support.fake_teacher import fake_teacher
from tests.support.made import made_to

FOLDS = 2
Build = Callable[..., Dag]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("unannotated") / "store")


@pytest.fixture(scope="module")
def folder(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine clips and three soundscapes of 15 s: a verdict of each clip, two verdicts of two of the
    soundscapes, none of the third."""
    root = tmp_path_factory.mktemp("verdicts") / "data"
    root.mkdir()
    clips = sorted((tiny_data / "train_audio").rglob("*.*"))
    for path in clips:
        shutil.copyfile(path, root / path.name)
    one, other = sorted((tiny_data / "train_soundscapes").iterdir())
    (test, *_) = sorted((tiny_data / "test_soundscapes").iterdir())
    for name, path in (("s1.ogg", one), ("s2.ogg", other), ("s3.ogg", test)):
        shutil.copyfile(path, root / name)
    (root / "verdicts").mkdir()
    table = open_table(root / "verdicts" / "ana.csv", "ana")
    codes = ("wren", "robin")
    for number, path in enumerate(clips):
        code = codes[number % 2]
        table.add(Clip(path.name, 0.0, 2.0, code, code, code, 0.5), Verdict("yes"))
    for name in ("s1.ogg", "s2.ogg"):
        table.add(Clip(name, 0.0, 5.0, "robin", "", "", 0.5), Verdict("no"))
        table.add(Clip(name, 9.0, 12.0, "wren", "", "", 0.5), Verdict("yes"))
    return root


@pytest.fixture
def build(folder: Path, tiny_recipe: Path, tmp_path: Path, store: Store) -> Build:
    def build(*settings: str, text: str = "", root: Path = folder) -> Dag:
        path = tmp_path / "recipe.toml"
        path.write_text(f'base = "{tiny_recipe}"\n{text}')
        said = [f"folds.count={FOLDS}", "round.first.epochs=1", "round.second.label.teachers=own"]
        chosen: Recipe = read_recipe(path, [*said, *settings])
        chosen, source = fitted(chosen, read_data(root, store, chosen))
        return build_dag(chosen, source, store, keep_shards=True)

    return build


HEAD = """
[[round]]
name = "head"
objective = "probe"
probe = { solver = "logistic", hidden = 0, pool = "max" }
"""
UNANNOTATED = "round.second.label.unannotated=teacher"


def names_of(dag: Dag, stage: str) -> list[str]:
    return [step.name for step in dag.steps if step.stage == stage]


def key_of(dag: Dag, name: str) -> str:
    (step,) = (step for step in dag.steps if step.name == name)
    return step.key


def test_teachers_label_annotated_recordings_where_the_round_says_so(build: Build) -> None:
    without, taught = build(), build(UNANNOTATED)
    assert not any(" annotated " in name for name in names_of(without, "label"))
    labelled = {name for name in names_of(taught, "label") if " annotated " in name}
    assert labelled == {
        f"label for second annotated {shard:04d} fold {fold}"
        for fold in range(FOLDS)
        for shard in range(3)
    }
    assert set(names_of(without, "label")) == set(names_of(taught, "label")) - labelled
    first, second = (f"train {name} test_resnet fold 0" for name in ("first", "second"))
    assert key_of(without, first) == key_of(taught, first)
    assert key_of(without, second) != key_of(taught, second)
    assert key_of(without, second) == key_of(
        build("round.second.label.unannotated=unknown"), second
    )


def trained(
    dag: Dag, store: Store, of_round: str = "second"
) -> Iterator[tuple[TrainingSet, Path, int]]:
    """The training set of each model of a round, and the model's folder."""
    for fold in range(FOLDS):
        name = f"train {of_round} test_resnet fold {fold}"
        model = made_to(name, dag, store)[name]
        config = TrainConfig.model_validate(model.manifest.config)
        (step,) = (step for step in dag.steps if step.name == name)
        inputs = {name: [store.get(ref) for ref in refs] for name, refs in step.inputs.items()}
        files = train.training_files(inputs, config)
        yield read_training_set(files, config, torch.device("cpu")), model.folder, fold


def test_what_is_held_out_teaches_nobody(build: Build, store: Store) -> None:
    pools, judged = [], set[str]()
    for data, model, _ in trained(build(UNANNOTATED), store):
        assert data.segments is not None
        names = data.segments.soundscapes.names
        pool = {names[row] for row in data.segments.rows.tolist()}
        held = set(pd.read_parquet(model / "held_out.parquet")["recording"].str.partition("#")[0])
        learnt = set(pd.read_csv(model / FILE)["recording"])
        assert not held & pool
        assert not held & learnt
        assert "s3.ogg" in pool
        assert pool - {"s3.ogg"} <= learnt == set(data.trained_recordings)
        judged |= held
        pools.append(pool)
    assert {"s1.ogg", "s2.ogg"} <= set.union(*pools)
    assert judged & {"s1.ogg", "s2.ogg"}  # without them this test could not fail


def test_a_round_that_does_not_train_on_annotations_names_whom_it_learns_from(
    build: Build, store: Store
) -> None:
    alone = ["round.second.annotated.train=false", "round.second.annotated.validate_on=clips"]
    with pytest.raises(ValueError, match="leave no recording"):  # all of this folder is annotated
        list(trained(build(UNANNOTATED, *alone), store))


def test_people_go_before_the_teacher(build: Build, store: Store) -> None:
    found = 0
    dag = build(UNANNOTATED)
    for data, _, fold in trained(dag, store):
        labels = pd.concat(
            pd.read_parquet(store.get(step.ref) / "labels.parquet")
            for step in dag.of("label")
            if " annotated " in step.name and step.name.endswith(f"fold {fold}")
        )
        own = labels.round({"start": 0}).set_index(["recording", "start"])["labels"]
        segments = data.segments
        assert segments is not None
        starts = (segments.offsets / segments.soundscapes.spec.frame_rate).round().tolist()
        names = [segments.soundscapes.names[row] for row in segments.rows.tolist()]
        robin, wren = 0, 1  # in the order of the alphabet
        for name, start, label, mask in zip(
            names, starts, segments.labels, segments.mask, strict=True
        ):
            if name not in ("s1.ogg", "s2.ogg"):  # "no" robin from 0 to 5 s, wren from 9 to 12 s
                continue
            assert 0 <= start <= 13
            told = torch.from_numpy(own[name, start].copy())
            is_absent, is_unknown = start <= 3, start == 4
            assert bool(mask[robin]) != is_unknown
            assert float(label[robin]) == (0 if is_absent or is_unknown else told[robin])
            assert mask[wren]
            assert float(label[wren]) == (1 if 8 <= start <= 11 else told[wren])
            found += 1
    assert found > 20


def test_where_all_soundscapes_have_a_verdict_the_student_stays(
    build: Build, folder: Path, store: Store, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(folder, tmp_path / "all"))
    (root / "s3.ogg").unlink()
    assert not names_of(build(root=root), "label")
    dag = build(UNANNOTATED, root=root)
    assert all(" annotated " in name for name in names_of(dag, "label"))
    name = "train second test_resnet fold 0"
    assert made_to(name, dag, store)[name].metrics["segments"]


@pytest.mark.parametrize("taught_by", ["external_teacher", "head"])
def test_external_teachers_and_probes_hear_and_label_them(
    build: Build, store: Store, monkeypatch: pytest.MonkeyPatch, taught_by: str
) -> None:
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake_teacher(("wren",)))
    text = f'[external_teacher]\n{HEAD}[[round]]\nname = "second"\n'
    dag = build(UNANNOTATED, f"round.second.teacher={taught_by}", text=text)
    assert "external_teacher birdnet annotated/0000" in names_of(dag, "external_teacher")
    name = "train second test_resnet fold 0"
    assert made_to(name, dag, store)[name].metrics["segments"]
    alone = build(f"round.second.teacher={taught_by}", text=text)
    assert not any(" annotated " in each for each in names_of(alone, "label"))


def test_it_needs_a_teacher_of_soundscapes(build: Build) -> None:
    with pytest.raises(RecipeError, match=r'unannotated.*needs label\.source = "soundscapes" or'):
        build(UNANNOTATED, "round.second.label.source=clips")


QUIET = ["round.first.background.probability=1", "round.first.background.source=quiet"]


def test_background_is_taken_from_them_where_the_round_says_so(build: Build, store: Store) -> None:
    heard = set[str]()
    for data, _, _ in trained(build(*QUIET), store, "first"):
        assert data.background is not None
        assert data.background.names == ("s3.ogg",)
    for data, model, _ in trained(build(*QUIET, BACKGROUND), store, "first"):
        assert data.background is not None
        assert data.quiet is not None
        names = data.background.names
        held = set(pd.read_parquet(model / "held_out.parquet")["recording"].str.partition("#")[0])
        assert not held & set(names)
        heard |= set(names)
        rate = data.background.spec.frame_rate
        for row, offset in zip(*(each.tolist() for each in data.quiet), strict=True):
            if names[row] in ("s1.ogg", "s2.ogg"):  # in which a wren sings from 9 to 12 s
                assert not 7 < offset / rate < 12
    assert {"s1.ogg", "s2.ogg", "s3.ogg"} <= heard


def test_where_all_have_a_verdict_background_is_off_or_theirs(
    build: Build, folder: Path, store: Store, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(folder, tmp_path / "all"))
    (root / "s3.ogg").unlink()
    name = "train first test_resnet fold 0"

    def background(*settings: str) -> object:
        (step,) = (s for s in build(*QUIET, *settings, root=root).steps if s.name == name)
        return step.config["background"]["probability"]

    assert (background(), background(BACKGROUND)) == (0, 1)


BACKGROUND = "round.first.background.annotated=true"
EMBED = """
[external_teacher]
[[round]]
name = "embed"
objective = "embeddings"
backbones = ["test_resnet"]
epochs = 1
crop_s = 2.0
mixup = { probability = 0.0 }
"""


def test_embeddings_are_learnt_of_recordings_that_somebody_annotated(
    build: Build, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake_teacher(("wren",)))
    dag = build(text=EMBED)
    name = "train embed test_resnet fold 0"
    (step,) = (step for step in dag.steps if step.name == name)
    model = made_to(name, dag, store)[name]
    config = TrainConfig.model_validate(model.manifest.config)
    inputs = {name: [store.get(ref) for ref in refs] for name, refs in step.inputs.items()}
    files = train.training_files(inputs, config)
    data = read_training_set(files, config, torch.device("cpu"))
    learnt = {data.clips.names[row] for row in data.train.tolist()}
    folds = files.folds[~files.folds.index.isin(["s3.ogg"])]
    assert {"s1.ogg", "s2.ogg"} <= set(folds.index)
    assert learnt == {"s3.ogg", *folds.index[folds != 0]}
    assert data.annotated is None
    assert len(data.labels) == len(data.clips.names)  # nobody's labels are read
    assert learnt - {"s3.ogg"} <= set(pd.read_csv(model.folder / FILE)["recording"])
    assert model.metrics["trained_on"] == len(learnt)
