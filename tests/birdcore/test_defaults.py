"""Defaults and keys: a setting that is new and off makes nothing anew, a default that changes does.

Keys leave out settings that are as by default, so old and new artifacts would stand side by side
where a default changes under one version. `defaults.json` has the defaults of each version.

    BIRDFLOW_GOLDEN=add pytest tests/birdcore/test_defaults.py     adds versions and settings
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from birdcore.archives import selection_state as wanted
from birdcore.archives.selection_state import chosen_path
from birdcore.config import Mel, Mixup, Recipe, Round
from birdcore.config import recipe as tables
from birdcore.config.data import FurtherSource
from birdcore.config.recipe import ExternalTeacher as ExternalTeacherTable
from birdcore.config.xeno_canto import XenoCanto
from birdcore.features import mel as features
from birdcore.sources.birdclef import scan
from birdcore.sources.birdclef_layout import LAYOUTS
from birdcore.sources.collection import competition_of
from birdcore.sources.shards import Shard
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.stages import (
    catalog,
    clean,
    collection,
    embedding_index,
    ensemble,
    export,
    fingerprint,
    folds,
    joined,
    label,
    leaks,
    mel,
    predict,
    probe,
    report,
    score,
    submission,
    train,
)
from birdcore.stages import external_teacher as outside
from birdcore.stages.table import STAGES
from birdcore.stages.training_process import step_from_json, step_to_json
from birdcore.store.artifact import Ref, Step, differing
from birdcore.store.store import Store
from birdcore.teachers.external_teacher import Credit, ExternalTeacher

FILE = Path(__file__).with_name("defaults.json")
REF = Ref("stage", "0" * 64)
TEACHER = ExternalTeacher(
    name="birdnet",
    sample_rate=8_000,
    window_s=3.0,
    classes=(),
    width=2,
    files={},
    credit=Credit("", "", "", "", ""),
    open=lambda threads: lambda waves: (waves, waves),
)
SAID = {"name": "one", "backbones": ("resnet10t",)}
"""What a round must say."""


@pytest.fixture(scope="module")
def source(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return scan(tiny_data, Store(tmp_path_factory.mktemp("defaults") / "store"))


def recipe_of(
    recipe: type[BaseModel], one: type[Round], xeno_canto: type[BaseModel], heard: type[BaseModel]
) -> Any:
    """A recipe that says no more than it must, of these kinds of tables."""
    first = one(**SAID)
    second = one(**SAID | {"name": "two", "teacher": "one"})
    wishes = xeno_canto(species=("Turdus merula",))
    return recipe(round=(first, second), xeno_canto=wishes, external_teacher=(heard(),))


def steps(recipe: Any, source: Source) -> Iterator[Step]:
    """A step of each stage and, where settings depend on it, of each kind."""
    file = SourceFile("recordings/XC1.mp3", 9, "1" * 64)
    root = Path("root")
    yield catalog.step(source)
    yield folds.step(REF, recipe.folds.count, recipe.seed)
    for kind in ("train_audio", "test_soundscapes"):
        shard = Shard(kind, 0, (file,), LAYOUTS[0].folders[kind])
        yield clean.step(shard, recipe.clean, {}, root)
        yield mel.step(shard, REF, recipe.mel, recipe.clean, root)
    heard = recipe.external_teacher[0]
    yield outside.step(shard, REF, TEACHER, heard.hop_s, (), recipe.clean, root)
    yield embedding_index.step([(REF, REF)])
    yield fingerprint.step(shard, root)
    yield leaks.step(shard, REF, (REF,), [file], [])
    yield collection.step(
        Source("xeno-canto", root, (Subset("xeno_canto", "labelled", (file,)),), {"t": "0"}), (REF,)
    )
    table = FurtherSource(path="beside", synonyms="synonyms.csv")
    yield joined.step(REF, (REF,), ("beside",), (table,), ({"avis vetus": "avis una"},))
    for one in recipe.round:
        yield train.step(one, "resnet10t", 0, recipe.seed, {"catalog": (REF,)})
    yield probe.step(one, 0, recipe.seed, {"catalog": (REF,), "heard_annotated": (REF,)})
    yield export.step("one", REF, (REF,), recipe.export)
    yield label.step(one, "soundscapes", 0, (REF,), REF)
    yield label.step(one, "clips", 0, (REF,), REF, external=[(REF, 0.0)], catalog=REF)
    yield ensemble.step(recipe.ensemble, {"one": (REF,)})
    yield predict.step("one", 0, (REF,), REF, recipe.predict)
    yield predict.external_teacher_step(
        "external_teacher", "birdnet", 0, REF, REF, REF, recipe.predict
    )
    yield submission.step(recipe.predict, source, REF, REF, {"one": (REF,)})
    scored = score.step(recipe.score, source, REF)
    assert scored is not None
    yield scored
    yield report.step(recipe, source, (REF,), {}, {"test_soundscapes": ()}, {}, REF, REF, scored)


def read(defaults: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of what is in the config."""
    found = {}
    for key in defaults.keys() & config.keys():
        one, value = defaults[key], config[key]
        both = isinstance(one, Mapping) and isinstance(value, Mapping)
        found[key] = read(one, value) if both else one
    return found


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = together(one[key], other[key])
    return both


def changed(old: Any, new: Any, where: str) -> Iterator[str]:
    """What is another default now, or none; one that is new is neither."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key in new:
                yield from changed(value, new[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is gone"
    elif old != new:
        yield f"{where}: was {old!r}, is {new!r}"


def test_a_default_changes_only_with_the_version_of_what_reads_it(source: Source) -> None:
    now: dict[str, Any] = {}
    made = list(steps(recipe_of(Recipe, Round, XenoCanto, ExternalTeacherTable), source))
    assert {step.stage for step in made} == STAGES.keys()
    for step in made:
        name = f"{step.stage} {step.version}"
        now[name] = together(now.get(name, {}), read(step.defaults, step.config))
    wishes = XenoCanto(species=("Turdus merula",))
    now[f"selection {wanted.VERSION}"] = {
        key: value
        for key, value in wanted.defaults_of(wishes).items()
        if key not in wanted.REQUEST_SETTINGS
    }
    now = json.loads(json.dumps(now))
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    wrong = [line for key in now for line in changed(golden.get(key, {}), now[key], key)]
    assert not wrong, "raise VERSION in the stage's module:\n" + "\n".join(wrong)
    if os.environ.get("BIRDFLOW_GOLDEN") == "add":
        golden = now
        FILE.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    how = f"new versions or settings: run BIRDFLOW_GOLDEN=add pytest {Path(__file__).name}"
    assert golden == now, how


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ({"a": 1}, {"a": 2}, ["x.a: was 1, is 2"]),
        ({"a": {"b": True}}, {"a": {"b": False}}, ["x.a.b: was True, is False"]),
        ({"a": 1}, {}, ["x.a is gone"]),
        ({"a": 1}, {"a": 1, "b": 2}, []),
    ],
)
def test_a_changed_default_is_seen(old: Any, new: Any, says: list[str]) -> None:
    assert list(changed(old, new, "x")) == says


def widened(kind: Any, **fields: Any) -> Any:
    """The kind with invented settings, which are off, in it and in all its tables."""
    inner = {
        name: (widened(type(one.default)), ...)
        for name, one in kind.model_fields.items()
        if isinstance(one.default, BaseModel) and not isinstance(one.default, Mel)
    }
    return create_model(
        f"Wide{kind.__name__}",
        __base__=kind,
        invented=(float, 0.25),
        invented_list=(tuple[int, ...], (1, 2)),
        invented_table=(Mixup, Mixup(probability=0.0)),
        **{name: (wide, wide()) for name, (wide, _) in inner.items()},
        **fields,
    )


def test_a_new_setting_that_is_off_keeps_all_keys(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(steps(recipe_of(Recipe, Round, XenoCanto, ExternalTeacherTable), source))
    one, wishes, heard = map(widened, (Round, XenoCanto, ExternalTeacherTable))
    wide = widened(
        Recipe,
        round=(tuple[one, ...], ...),
        xeno_canto=(wishes | None, None),
        external_teacher=(tuple[heard, ...], ()),
    )
    monkeypatch.setattr(features, "MelSpec", widened(features.MelSpec))
    after = list(steps(recipe_of(wide, one, wishes, heard), source))
    assert [step.key for step in after] == [step.key for step in before]
    seen = {step.stage for step in after if "invented" in json.dumps(step.config)}
    assert seen == {"clean", "mel", "train", "probe", "report"}  # whole tables are read there

    criteria = [kind(species=("Turdus merula",)) for kind in (XenoCanto, wishes)]
    homes = {
        chosen_path(Path("c"), each, competition_of(source.metadata, each)) for each in criteria
    }
    assert len(homes) == 1


@pytest.mark.parametrize(
    "kind",
    [
        lambda recipe: recipe.model_copy(update={"clean": tables.Clean(fade_s=0.03)}),
        lambda recipe: recipe.model_copy(update={"mel": Mel(n_mels=64)}),
        lambda recipe: recipe.model_copy(update={"predict": tables.Predict(file_maximum=0.2)}),
        lambda recipe: recipe.model_copy(update={"score": tables.Score(bootstrap=3)}),
        lambda recipe: recipe.model_copy(update={"ensemble": tables.Ensemble(blend="rank")}),
        lambda recipe: recipe.model_copy(
            update={"round": (Round(**SAID, mixup={"alpha": 0.4}), recipe.round[1])}
        ),
    ],
)
def test_a_setting_that_is_on_makes_a_key_of_its_own(
    source: Source, kind: Callable[[Recipe], Recipe]
) -> None:
    recipe = recipe_of(Recipe, Round, XenoCanto, ExternalTeacherTable)
    before = {step.key for step in steps(recipe, source)}
    after = {step.key for step in steps(kind(recipe), source)}
    assert len(after - before) >= 2  # the stage's own, and the report's


def test_a_step_keeps_its_key_on_its_way_to_another_process(source: Source) -> None:
    for step in steps(recipe_of(Recipe, Round, XenoCanto, ExternalTeacherTable), source):
        assert step_from_json(step_to_json(step)).key == step.key


def test_what_differs_is_told_by_key() -> None:
    defaults = {"a": 1, "b": {"c": 2.0, "d": (1, 2)}, "e": None}
    same = {"a": 1, "b": {"c": 2.0, "d": [1, 2]}, "e": None}
    assert differing(same, defaults) == {}
    assert differing({**same, "f": {}}, defaults) == {"f": {}}
    assert differing({**same, "b": {"c": 3.0, "d": (1, 2)}}, defaults) == {"b": {"c": 3.0}}
    assert differing({"e": 0, "a": True, "b": None}, defaults) == {"e": 0, "a": True, "b": None}
