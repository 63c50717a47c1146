"""What every stage makes of one fixed input, against stored values: a guard of the cache.

A store keeps artifacts by stage, version, settings and inputs. Code that makes something else
under the same version would let old and new artifacts stand side by side, unnoticed. So the
output of each version is summed up in `golden.json`: names, types and numbers of rows exactly,
numbers by their means, so that another processor's rounding does not matter.

    BIRDFLOW_GOLDEN=add pytest tests/birdcore/test_golden.py     adds versions that are not there
"""

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from birdcore.archives.record import Record
from birdcore.archives.record_table import write_records
from birdcore.audio.trim import Override
from birdcore.config import Clean, Ensemble, Export, Mel, Predict, Recipe, Round, Score
from birdcore.config.data import FurtherSource
from birdcore.config.probe import ProbeSettings
from birdcore.features.scale import decode_db
from birdcore.features.shard_reader import read_shards
from birdcore.sources.birdclef import scan
from birdcore.sources.shards import shards
from birdcore.sources.source import FOLDERS, MAIN, Source, SourceFile, Subset
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
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.files import file_sha256
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer
from birdcore.teachers.outputs import read_outputs

GOLDEN = Path(__file__).with_name("golden.json")
RATE = 32_000
UNSTABLE = {"sha256", "evidence"}
"""Columns that may differ: a sine's last bit is the processor's."""
MadeModel = Callable[..., Ref]
CLEAN, MEL = Clean(), Mel(n_mels=32)
PREDICT = Predict(gaussian=0.5, delta_shift=0.2)
STUDENT = Round(
    name="two",
    backbones=("test_resnet",),
    teacher="one",
    epochs=3,
    batch=4,
    crop_s=2.0,
    learning_rate=2e-3,
    precision="float32",
)
PROBED = Round(
    name="head",
    objective="probe",
    epochs=3,
    batch=4,
    crop_s=3.0,
    learning_rate=2e-3,
    probe=ProbeSettings(hidden=4, prior="residual"),
)
RECIPE = Recipe(
    mel=MEL,
    round=(STUDENT.model_copy(update={"name": "one", "teacher": None}), STUDENT),
    predict=PREDICT,
    score=Score(bootstrap=20),
)


def write(path: Path, seconds: float, pitches: list[float], rng: np.random.Generator) -> None:
    """Noise with a chirp a second, of one of the pitches at a time."""
    t = np.arange(round(seconds * RATE)) / RATE
    hz = np.array(pitches)[t.astype(int) % len(pitches)]
    sound = np.sin(2 * np.pi * np.cumsum(hz * (1 + 0.1 * (t % 1))) / RATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.3 * sound * ((t % 1) < 0.5) + 0.02 * rng.standard_normal(len(t))
    sf.write(path, samples, RATE, subtype="PCM_16")


def write_data(root: Path) -> None:
    rng = np.random.default_rng(0)
    pitch = {"a": 1_500.0, "b": 3_000.0, "c": 6_000.0}
    rows = ["primary_label,secondary_labels,filename,author"]
    for name, hz in pitch.items():
        for i in range(4):
            write(root / f"train_audio/{name}/{i}.wav", 3 + 0.3 * i, [hz], rng)
            rows.append(f"""{name},"['a']",{name}/{i}.wav,author {i}""")
    (root / "train_audio/a/bad.wav").write_text("no sound")
    rows += ["a,[],a/bad.wav,author 9", "c,[],c/missing.wav,author 9"]
    (root / "train.csv").write_text("\n".join(rows) + "\n")
    write(root / "train_soundscapes/s.wav", 11, [1_500, 6_000], rng)
    write(root / "test_soundscapes/t.wav", 17, [3_000, 1_500, 6_000], rng)
    truth = pd.DataFrame(np.eye(4, 3, dtype=int), columns=list("abc"))
    truth.insert(0, "row_id", [f"t_{end}" for end in (5, 10, 15, 20)])
    truth.to_csv(root / "test_soundscapes_labels.csv", index=False)
    truth.iloc[::-1].to_csv(root / "sample_submission.csv", index=False)


def write_collection(root: Path, competition: Path) -> Source:
    """Two birds of other species, and a recording of the competition."""
    rng = np.random.default_rng(1)
    write(root / "recordings/XC1.wav", 4, [2_000], rng)
    write(root / "recordings/XC2.wav", 5, [4_500, 2_000], rng)
    shutil.copyfile(competition / "train_audio/a/3.wav", root / "recordings/XC3.wav")
    records = [
        Record(1, "Avis una", recordist="Ann", quality="A", types=("song", "call")),
        Record(2, "Avis duo", licence="cc-by 4.0", also=("Avis una", "Avis tres")),
        Record(3, "Avis tres", latitude=1.5, longitude=-2.5),
    ]
    write_records(root / "chosen.parquet", records)
    names = ["chosen.parquet", *(f"recordings/XC{record.id}.wav" for record in records)]
    chosen, *audio = (SourceFile(name, 0, file_sha256(root / name)) for name in names)
    subset = Subset("xeno_canto", "labelled", tuple(audio))
    return Source("xeno-canto", root, (subset,), {chosen.path: chosen.sha256})


def write_beside(root: Path) -> Source:
    """A folder of two classes, one of which is the other folder's."""
    rng = np.random.default_rng(2)
    names = ["beside/duo/1.wav", "beside/new/1.wav"]
    for name in names:
        write(root / name, 2, [2_500], rng)
    files = tuple(SourceFile(name, 0, file_sha256(root / name)) for name in names)
    subset = Subset("beside_clips", "labelled", files)
    return Source(MAIN, root, (subset,), {}, layout=FOLDERS, folder="beside")


def out_of_fold(seed: int) -> pd.DataFrame:
    """What a model would say of recordings it never saw."""
    rng = np.random.default_rng(seed)
    targets = np.eye(3, dtype=np.float32)[np.arange(20) % 3]
    probabilities = (targets + (2 + seed) * rng.random((20, 3))).astype(np.float32) / 4
    names = [f"r{i}" for i in range(20)]
    return pd.DataFrame(
        {"recording": names, "targets": list(targets), "probabilities": list(probabilities)}
    )


def open_loudness(threads: int) -> Infer:
    """A teacher that knows how loud a window is, and how loud its halves are."""

    def hear(waves: Floats) -> tuple[Floats, Floats]:
        halves = (waves.reshape(len(waves), 2, -1) ** 2).mean(axis=2)
        return np.minimum(halves.mean(axis=1, keepdims=True), 1.0), halves

    return hear


SPECIES = ("Parus major", "Turdus merula")
LOUDNESS = ExternalTeacher(
    name="loudness",
    sample_rate=8_000,
    window_s=2.0,
    classes=SPECIES[:1],
    width=2,
    files={},
    credit=Credit("Loudness", "nobody", "CC0", "https://example.org", "none"),
    open=open_loudness,
)


def all_stages(root: Path, store: Store, model_of: MadeModel) -> Iterator[Artifact]:
    """An artifact of each stage, made from the ones before.

    What is trained here shows in its own summary only: the stages that read a model get fixed
    ones, since a processor's rounding grows with every step of training.
    """
    source = scan(root, store)
    parts = {kind: one for kind, (one,) in shards(source.subsets, store, 50, keep=True).items()}
    overrides = {"train_audio/a/0.wav": (Override("cut", 0.5, 1.25),)}

    def make(stage: ModuleType, *inputs: Any) -> Artifact:
        return store.make(stage.step(*inputs), stage.run)

    cataloged = make(catalog, source)
    yield cataloged
    cleanings: dict[str, Ref] = {}
    mels: dict[str, Ref] = {}
    for kind, shard in parts.items():
        cleaned = make(clean, shard, CLEAN, overrides, root)
        made = make(mel, shard, cleaned.ref, MEL, CLEAN, root)
        cleanings[kind], mels[kind] = cleaned.ref, made.ref
        if kind == "train_audio":
            yield cleaned
            yield made
            heard = make(outside, shard, cleaned.ref, LOUDNESS, 1.5, SPECIES, CLEAN, root)
            yield heard
            yield make(embedding_index, [(heard.ref, cleaned.ref)])
    collected = write_collection(root.parent / "collection", root)
    (shard,) = shards(collected.subsets, store, 50, keep=True)["xeno_canto"]
    known = tuple(make(fingerprint, part, root).ref for part in parts.values())
    sound = make(fingerprint, shard, collected.root)
    yield sound
    leaking = make(leaks, shard, sound.ref, known, source.audio["train_audio"], [])
    yield leaking
    yield make(collection, collected, (leaking.ref,))
    further = write_beside(root.parent / "further")
    (shard,) = shards(further.subsets, store, 50, keep=True)["beside_clips"]
    sound = make(fingerprint, shard, further.root)
    leaking = make(leaks, shard, sound.ref, known, source.audio["train_audio"], [])
    described = make(collection, further, (leaking.ref,))
    beside = FurtherSource(path="beside", classes="all", weight=0.5)
    yield make(joined, cataloged.ref, (described.ref,), ("beside",), (beside,), ({"duo": "b"},))
    folded = make(folds, cataloged.ref, 2, 0)
    yield folded
    inputs = {"catalog": (cataloged.ref,), "folds": (folded.ref,), "heard": (heard.ref,)}
    yield make(probe, PROBED, 0, 0, inputs)
    models = {
        name: (model_of(seed, backbone="test_efficientnet", held_out=out_of_fold(seed)),)
        for seed, name in enumerate(("one", "two"))
    }
    taught = make(label, STUDENT, "soundscapes", 0, models["one"], mels["train_soundscapes"])
    yield taught
    inputs = {
        "catalog": (cataloged.ref,),
        "folds": (folded.ref,),
        "mel": (mels["train_audio"],),
        "labels": (taught.ref,),
        "soundscapes": (mels["train_soundscapes"],),
    }
    trained = make(train, STUDENT, "test_resnet", 0, 0, inputs)
    yield trained
    yield make(export, "one", *models["one"], (mels["train_audio"],), Export())
    weighed = make(ensemble, Ensemble(weights="nnls"), models)
    yield weighed
    predicted = {
        name: make(predict, name, 0, refs, mels["test_soundscapes"], PREDICT)
        for name, refs in models.items()
    }
    yield predicted["one"]
    refs = {name: (artifact.ref,) for name, artifact in predicted.items()}
    submitted = make(submission, PREDICT, source, cataloged.ref, weighed.ref, refs)
    yield submitted
    scoring = score.step(Score(bootstrap=20), source, submitted.ref)
    assert scoring is not None
    yield store.make(scoring, score.run)
    reported = {"one": (trained.ref,), "two": (trained.ref,)}
    weights = make(ensemble, Ensemble(), reported)
    yield make(
        report, RECIPE, source, [cataloged.ref], each(cleanings), each(mels),
        reported, weights.ref, submitted.ref, scoring,
    )  # fmt: skip


def each(refs: Mapping[str, Ref]) -> dict[str, tuple[Ref, ...]]:
    return {kind: (ref,) for kind, ref in refs.items()}


def column(values: pd.Series) -> Any:
    """A column in a few words: numbers as mean and spread, text as a digest."""
    flat = (
        values.explode() if values.map(lambda v: isinstance(v, list | np.ndarray)).any() else values
    )
    numbers = pd.to_numeric(flat, errors="coerce").astype(float)
    if flat.notna().any() and numbers.notna().sum() == flat.notna().sum():
        return {"mean": numbers.mean(), "spread": numbers.std(ddof=0)}
    return hashlib.sha256("\n".join(map(str, flat)).encode()).hexdigest()[:16]


def table(frame: pd.DataFrame) -> dict[str, Any]:
    columns = {str(c): column(frame[c]) for c in frame.columns if c not in UNSTABLE}
    return {"rows": len(frame), **columns}


def mels(path: Path) -> dict[str, Any]:
    read = read_shards([path])
    decibels = decode_db(read.codes, read.scale)
    return {
        name: {"frames": len(part), "decibels": float(part.mean())}
        for name, part in zip(read.recordings, np.split(decibels, read.starts[1:-1]), strict=True)
    }


def heard(path: Path) -> dict[str, Any]:
    names = sorted(set(pq.read_table(path, columns=["recording"])["recording"].to_pylist()))
    read = read_outputs([path], names)
    return {
        "recordings": names,
        "windows": read.count.tolist(),
        "starts": float(read.starts.mean()),
        "embeddings": float(read.embeddings.float().mean()),
        "probabilities": float(read.probabilities.float().mean()),
    }


def json_file(path: Path) -> Any:
    return json.loads(path.read_text())


def losses(path: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in path.read_text().splitlines()]


def page(path: Path) -> dict[str, int]:
    """What a page has, but for its settings: a new one of the recipe is no change of the stage."""
    counts = Counter(re.findall(r"<([a-z]\w*)", path.read_text()))
    return {tag: counts[tag] for tag in ("section", "h2", "h3", "svg", "figure", "img", "audio")}


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".parquet": lambda path: table(pd.read_parquet(path)),
    ".csv": lambda path: table(pd.read_csv(path)),
    ".html": page,
    ".json": json_file,
    ".jsonl": losses,
}


def summary(artifact: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in (artifact / file.name for file in artifact.manifest.files):
        if path.name == "mel.parquet":
            found[path.name] = mels(path)
        elif path.name == "heard.parquet":
            found[path.name] = heard(path)
        elif path.suffix in READERS:
            found[path.name] = READERS[path.suffix](path)
        if path.suffix == ".parquet":
            types = [f"{f.name}: {f.type}" for f in pq.read_schema(path)]
            found[f"{path.name} types"] = [t.replace("large_string", "string") for t in types]
    return found


def differences(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key in old and key in new:
                yield from differences(old[key], new[key], f"{where} {key}")
            else:
                yield f"{where}: {key} is {'gone' if key in old else 'new'}"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{where}[{at}]")
    elif isinstance(old, int | float) and isinstance(new, int | float):
        # What another processor or number of threads may change; training makes it grow.
        close = 2e-4 + 1e-5 * abs(old)
        if where.endswith(" decibels"):
            close = 0.1
        elif where.startswith("train "):
            close = 2e-3 + 0.05 * abs(old)
        if abs(old - new) > close:
            yield f"{where}: was {old:.6g}, is {new:.6g}"
    elif old != new:
        yield f"{where}: was {old!r}, is {new!r}"


def test_a_version_of_a_stage_makes_what_it_always_made(
    tmp_path: Path, store: Store, model_of: MadeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TEACHERS, LOUDNESS.name, lambda: LOUDNESS)
    write_data(tmp_path / "data")
    made = list(all_stages(tmp_path / "data", store, model_of))
    assert {one.manifest.stage for one in made} == STAGES.keys()
    now = {f"{one.manifest.stage} {one.manifest.version}": summary(one) for one in made}
    golden = json.loads(GOLDEN.read_text())
    if os.environ.get("BIRDFLOW_GOLDEN") == "add":
        golden = {key: golden.get(key, found) for key, found in now.items()}
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    how = f"run BIRDFLOW_GOLDEN=add pytest {Path(__file__).name}"
    assert golden.keys() == now.keys(), f"versions without golden values or too many: {how}"
    changed = [line for key, found in now.items() for line in differences(golden[key], found, key)]
    assert not changed, (
        "output changed under the same version: raise VERSION in the stage's module, so that "
        f"stores make it anew, and {how}\n" + "\n".join(changed)
    )
