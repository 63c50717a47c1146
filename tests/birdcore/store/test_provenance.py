"""The tree below an artifact, on stores whose steps made nothing but a file and their metrics."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from birdcore.config.round import LABEL_DEFAULTS, PseudoLabels
from birdcore.stages.table import STAGES
from birdcore.store.artifact import MANIFEST, Metrics, Ref, Step
from birdcore.store.provenance import format_provenance, provenance_tree
from birdcore.store.store import Job, Store

FULL = PseudoLabels(power=1.54, threshold=0.3, segment_s=5.0, overlap=0.25, keep_fraction=0.8)
AT_ONCE = {"minmax", "keep_fraction", "max_label_sum"}


def publish(
    store: Store,
    name: str,
    metrics: Metrics,
    config: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    **inputs: tuple[Ref, ...],
) -> Ref:
    """An artifact of one file; its stage is the first word of its name."""

    def run(job: Job) -> Metrics:
        (job.folder / "table").write_text(name)
        return metrics

    key = {"made for": name, **(config or {})} if name.startswith(("clean", "mel")) else config
    stage = name.partition(" ")[0]
    step = Step(stage, 1, name, key or {}, inputs, files or {})
    return store.make(step, run).ref


def model(store: Store, of_round: str, fold: int, **inputs: Any) -> Ref:
    given = {"backbone": "resnet10t", "fold": fold, "pretrained": False} | inputs.pop("config", {})
    metrics = {"trained_on": 4, "held_out": 1, "segments": 6 if "labels" in inputs else 0}
    return publish(store, f"train {of_round} resnet10t fold {fold}", metrics, given, **inputs)


def mels(store: Store, kind: str, *counts: int) -> tuple[Ref, ...]:
    found = []
    for at, count in enumerate(counts):
        shard = f"{kind}/{at:04d}"
        metrics = {"recordings": count, "rejected": 0}
        cleaned = publish(store, f"clean {shard}", metrics)
        found.append(publish(store, f"mel {shard}", metrics, clean=(cleaned,)))
    return tuple(found)


@pytest.fixture
def made(store: Store) -> dict[str, Any]:
    """A round and its student, weighed and heard."""
    catalog = publish(store, "catalog", {"recordings": 5, "usable": 5, "species": 2})
    folds = publish(store, "folds", {"recordings": 5}, {"count": 2}, catalog=(catalog,))
    base = {"catalog": (catalog,), "folds": (folds,), "mel": mels(store, "train_audio", 3, 2)}
    heard = mels(store, "train_soundscapes", 1, 1)
    first = tuple(model(store, "first", fold, **base) for fold in (0, 1))
    config = FULL.model_dump(exclude=AT_ONCE)
    labels = tuple(
        publish(
            store, f"label for second {at:04d}", {"recordings": 1, "segments": 3, "kept": 1},
            config, teacher=first, mel=(one,),
        )
        for at, one in enumerate(heard)
    )  # fmt: skip
    reads = base | {"labels": labels, "soundscapes": heard, "start": (first[0],)}
    of_all = {"label": FULL.model_dump(include=AT_ONCE)}
    second = model(store, "second", 0, config=of_all, **reads)
    metrics = {"chosen": "mean", "weights": {"second/resnet10t": 1.0}}
    ensemble = publish(store, "ensemble", metrics, {"weights": "auto"}, second=(second,))
    test = mels(store, "test_soundscapes", 1)
    predict = publish(store, "predict second 0000", {"recordings": 1}, models=(second,), mel=test)
    inputs = {"catalog": (catalog,), "weights": (ensemble,), "round second": (predict,)}
    submission = publish(store, "submission", {"rows": 12, "classes": 2}, **inputs)
    return {
        "catalog": catalog, "folds": folds, "mel": base["mel"], "heard": heard, "first": first,
        "labels": labels, "second": second, "ensemble": ensemble, "test": test[0],
        "predict": predict, "submission": submission,
    }  # fmt: skip


def told(store: Store, ref: Ref) -> str:
    return format_provenance(provenance_tree(store, ref, STAGES, LABEL_DEFAULTS))


def key(ref: Ref) -> str:
    return ref.key[:12]


def test_a_tree_from_a_submission_down_to_recordings(store: Store, made: dict[str, Any]) -> None:
    catalog, folds, (one, two) = key(made["catalog"]), key(made["folds"]), made["first"]
    second, test = made["second"], key(made["test"])
    clean = store.get(made["test"]).manifest.inputs["clean"][0].partition("/")[2][:12]
    assert told(store, made["submission"]) == (
        f"""\
submission {key(made["submission"])} (12 rows, 2 classes)
├─ catalog {catalog} (5 recordings, 5 usable, 2 species)
├─ ensemble {key(made["ensemble"])} (mean, second/resnet10t 1)
│  └─ train second resnet10t fold 0 {key(second)} (4 trained on, 1 held out, 6 segments, """
        f"""start first, teacher first ×2, keep_fraction 0.8)
│     ├─ folds {folds} (5 recordings, 2 folds)
│     │  └─ catalog {catalog} … see above
│     ├─ mel train_audio ×2 (5 recordings)
│     │  └─ clean train_audio ×2 (5 recordings)
│     ├─ label for second ×2 (2 recordings, 6 segments, 2 kept, power 1.54, threshold 0.3, """
        f"""output framewise, overlap 0.25)
│     │  ├─ teacher: train first resnet10t fold 0 {key(one)} (4 trained on, 1 held out)
│     │  │  └─ catalog {catalog}, folds {folds}, mel train_audio ×2 … see above
│     │  ├─ teacher: train first resnet10t fold 1 {key(two)} (4 trained on, 1 held out)
│     │  │  └─ catalog {catalog}, folds {folds}, mel train_audio ×2 … see above
│     │  └─ mel train_soundscapes ×2 (2 recordings)
│     │     └─ clean train_soundscapes ×2 (2 recordings)
│     └─ catalog {catalog}, mel train_soundscapes ×2, start: train first resnet10t fold 0 """
        f"""{key(one)} … see above
└─ predict second 0000 {key(made["predict"])} (1 recording)
   ├─ mel test_soundscapes/0000 {test} (1 recording)
   │  └─ clean test_soundscapes/0000 {clean} (1 recording)
   └─ train second resnet10t fold 0 {key(second)} … see above
"""
    )


def test_each_artifact_is_shown_in_full_once(store: Store, made: dict[str, Any]) -> None:
    full: list[Ref] = []
    again: set[Ref] = set()
    waiting = [provenance_tree(store, made["submission"], STAGES)]
    while waiting:
        node = waiting.pop()
        assert not (node.repeated and node.inputs)
        again.update(node.refs if node.repeated else ())
        full += () if node.repeated else node.refs
        waiting += node.inputs
    there = {Ref(p.parents[1].name, p.parent.name) for p in store.root.glob(f"*/*/{MANIFEST}")}
    assert sorted(full) == sorted(there)
    assert again < there


def test_repeated_models_are_one_line(store: Store, made: dict[str, Any]) -> None:
    both = publish(store, "ensemble", {}, {}, a=made["first"], b=made["first"])
    assert told(store, both).splitlines()[-1] == "└─ train first resnet10t ×2 … see above"


def test_missing_artifact_is_marked(store: Store, made: dict[str, Any]) -> None:
    (store.path(made["mel"][1]) / MANIFEST).unlink()
    text = told(store, made["first"][0])
    assert f"─ mel {key(made['mel'][1])}: not in the store\n" in text
    (whole,) = [line for line in text.splitlines() if "mel train_audio/0000" in line]
    assert whole.endswith(f"{key(made['mel'][0])} (3 recordings)")


def test_damaged_artifact_is_marked(store: Store, made: dict[str, Any]) -> None:
    (store.path(made["test"]) / "table").write_text("")
    lines = told(store, made["test"]).splitlines()
    assert lines[0].endswith("(1 recording): files missing or cut")
    assert lines[1].startswith("└─ clean test_soundscapes/0000")


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"files": [1]}'])
def test_invalid_manifest_is_a_missing_artifact(
    store: Store, made: dict[str, Any], damage: str
) -> None:
    (store.path(made["catalog"]) / MANIFEST).write_text(damage)
    line = f"└─ catalog {key(made['catalog'])}: not in the store"
    assert told(store, made["folds"]).splitlines()[1:] == [line]


def test_deleted_labels_leave_the_teacher_unknown(store: Store, made: dict[str, Any]) -> None:
    for ref in made["labels"]:
        (store.path(ref) / MANIFEST).unlink()
    text = told(store, made["second"])
    assert "teacher unknown, keep_fraction 0.8" in text.splitlines()[0]
    assert "─ label ×2: not in the store\n" in text


def test_a_deleted_teacher_has_its_key_for_a_name(store: Store, made: dict[str, Any]) -> None:
    for ref in made["first"]:
        (store.path(ref) / MANIFEST).unlink()
    one, two = made["first"]
    first = told(store, made["second"]).splitlines()[0]
    assert f"start {one}, teacher {one} and {two}, keep_fraction 0.8" in first


def test_default_label_settings_are_hidden(store: Store) -> None:
    config = PseudoLabels().model_dump(exclude=AT_ONCE) | {"segment_s": 5.0}
    ref = publish(store, "label for a 0000", {"recordings": 1}, config)
    settings = "power 1, threshold 0, output framewise"
    assert told(store, ref) == f"label for a 0000 {key(ref)} (1 recording, {settings})\n"


def test_labels_of_other_settings_are_two_lines(store: Store) -> None:
    labels = tuple(
        publish(store, f"label for a {at:04d}", {"recordings": 1}, {"power": power})
        for at, power in enumerate((1.0, 2.0))
    )
    lines = told(store, model(store, "a", 0, labels=labels)).splitlines()
    assert [line.rpartition("(")[2] for line in lines[1:]] == [
        "1 recording, power 1)",
        "1 recording, power 2)",
    ]


def test_each_fold_has_labels_of_its_own_teacher(store: Store) -> None:
    clips, teachers = mels(store, "train_audio", 1, 1), [model(store, "a", f) for f in (0, 1)]
    students = []
    for fold, teacher in enumerate(teachers):
        labels = tuple(
            publish(store, f"label for b clips {at:04d} fold {fold}", {"recordings": 1}, {},
                    teacher=(teacher,), mel=(one,))
            for at, one in enumerate(clips)
        )  # fmt: skip
        students.append(model(store, "b", fold, clip_labels=labels))
    lines = told(store, students[1]).splitlines()
    assert lines[0].endswith(", teacher a)")
    assert lines[1] == "└─ label for b clips fold 1 ×2 (2 recordings)"
    both = publish(store, "ensemble", {}, {}, b=tuple(students), again=tuple(students))
    text = told(store, both)
    assert "label for b clips fold 0 ×2" in text
    assert "label for b clips fold 1 ×2" in text
    assert text.splitlines()[-1] == "└─ train b resnet10t ×2 … see above"


def test_pretrained_weights_are_named(store: Store) -> None:
    config = {"pretrained": True}
    of_file = model(store, "a", 0, config=config, files={"birds.pth": "0" * 64})
    of_timm = model(store, "b", 0, config=config)
    assert "pretrained birds.pth)" in told(store, of_file)
    assert "pretrained)" in told(store, of_timm)


def test_provenance_writes_nothing(store: Store, made: dict[str, Any]) -> None:
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*")}
    told(store, made["submission"])
    assert {p: p.stat().st_mtime_ns for p in store.root.rglob("*")} == before


def test_unknown_settings_are_shown(store: Store) -> None:
    ref = publish(store, "label for a 0000", {"recordings": "many"}, {"output": "both", "new": 1})
    assert told(store, ref) == f"label for a 0000 {key(ref)} (output both, new 1)\n"
    manifest = json.loads((store.path(ref) / MANIFEST).read_text())
    assert manifest["config"] == {"output": "both", "new": 1}
