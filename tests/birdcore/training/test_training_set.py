"""No label leaks: what a fold's model is judged by is never among what it learns from."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from birdcore.config import Clean, Mel, Mixup, Round
from birdcore.config.training import AnnotatedCrops, TrainConfig, TrainSettings
from birdcore.inference.spans import start_of
from birdcore.sources.annotated import AnnotatedRecordings, read_annotated
from birdcore.sources.birdclef import scan
from birdcore.sources.birdclef_windows import LABELLED_SOUNDSCAPES
from birdcore.sources.shards import shards
from birdcore.stages import catalog, clean, folds, mel, train
from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from birdcore.training.batch import make_batch
from birdcore.training.data import crop_sampling, epoch_rows
from birdcore.training.training_set import TrainingSet, read_training_set

COUNT = 3
Inputs: TypeAlias = dict[str, tuple[Ref, ...]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One for all tests, which read it."""
    return Store(tmp_path_factory.mktemp("training_set") / "store")


@pytest.fixture(scope="module")
def inputs(tiny_data: Path, store: Store) -> Inputs:
    """Catalogue, folds and mels of the made-up folder, in shards of five."""
    return prepared(tiny_data, store)


def prepared(root: Path, store: Store) -> Inputs:
    source = scan(root, store)
    cataloged = store.make(catalog.step(source), catalog.run).ref
    folded = store.make(folds.step(cataloged, COUNT, 0), folds.run).ref
    mels: dict[str, list[Ref]] = {"mel": [], "annotated": []}
    parts = shards(source.subsets, store, 5, keep=True)
    for name, use in (("mel", "train_audio"), ("annotated", LABELLED_SOUNDSCAPES)):
        for shard in parts.get(use, []):
            cleaned = store.make(clean.step(shard, Clean(), {}, root), clean.run).ref
            step = mel.step(shard, cleaned, Mel(n_mels=32), Clean(), root)
            mels[name].append(store.make(step, mel.run).ref)
    refs = {name: tuple(made) for name, made in mels.items() if made}
    return {"catalog": (cataloged,), "folds": (folded,), **refs}


def training_set(
    store: Store,
    inputs: Inputs,
    fold: int,
    weights: dict[str, float] | None = None,
    **settings: Any,
) -> TrainingSet:
    """The training set of a fold; `weights` as a catalogue of several sources has them."""
    one = Round(name="one", backbones=("test_resnet",), min_per_class=4, **settings)
    step = train.step(one, "test_resnet", fold, 0, inputs)
    config = TrainConfig.model_validate(step.config)
    artifacts = {name: [store.get(ref) for ref in refs] for name, refs in inputs.items()}
    files = train.training_files(artifacts, config)
    if weights is not None:
        column = [weights.get(name, 1.0) for name in files.recordings.index]
        files = replace(files, recordings=files.recordings.assign(weight=column))
    return read_training_set(files, config, torch.device("cpu"))


def test_no_fold_trains_on_what_it_is_judged_by(store: Store, inputs: Inputs) -> None:
    table = pd.read_parquet(store.get(inputs["folds"][0]) / "folds.parquet")
    fold_of = dict(zip(table["recording"], table["fold"], strict=True))
    content = pd.read_parquet(store.get(inputs["catalog"][0]) / "recordings.parquet")
    sha_of = dict(zip(content["recording"], content["sha256"], strict=True))
    judged: list[str] = []
    for fold in range(COUNT):
        data = training_set(store, inputs, fold)
        names = data.clips.names
        held = {names[r] for r in data.held_out.tolist()}
        assert held == {name for name, f in fold_of.items() if f == fold and name in names}
        drawn = epoch_rows(data.labels, data.train, 2, 4, torch.Generator().manual_seed(fold))
        learnt = {names[r] for r in drawn.tolist()}
        assert not learnt & held
        assert not {sha_of[name] for name in learnt} & {sha_of[name] for name in held}
        assert learnt | held == {name for name in names if name in fold_of}
        judged += sorted(held)
    assert len(judged) == len(set(judged)) > 0
    assert set(judged) <= {name for name, f in fold_of.items() if f >= 0}


@pytest.fixture(scope="module")
def with_windows(tiny_data: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The made-up folder, of whose soundscapes each has two windows, and one a class of its own."""
    data = Path(shutil.copytree(tiny_data, tmp_path_factory.mktemp("with_windows") / "data"))
    label = pd.read_csv(data / "taxonomy.csv", dtype=str)["primary_label"]
    first, *others = sorted((data / "train_soundscapes").iterdir())
    for number in range(5):
        others.append(first.with_stem(f"BC_{number}_S0{number}_20250601_050000"))
        samples, rate = sf.read(first)
        sf.write(others[-1], np.roll(samples, 1000 * number + 1), rate)
    rows = [
        (path.name, f"00:00:{start:02}", f"00:00:{start + 5:02}", label[number % 2])
        for number, path in enumerate((first, *others))
        for start in (0, 5)
    ]
    table = pd.DataFrame(rows, columns=["filename", "start", "end", "primary_label"])
    table.to_csv(data / "train_soundscapes_labels.csv", index=False)
    return prepared(data, store)


def test_no_window_of_held_out_recording_trains(store: Store, with_windows: Inputs) -> None:
    judged: list[str] = []
    for fold in range(COUNT):
        data = training_set(store, with_windows, fold)
        learnt = {data.clips.names[row] for row in data.rows_of(data.train).tolist()}
        held = {data.clips.names[row] for row in data.rows_of(data.held_out).tolist()}
        assert not learnt & held
        judged += [name for name in held if name.startswith("train_soundscapes/")]
        assert any(name.startswith("train_soundscapes/") for name in learnt)
        assert set(data.trained_recordings) == learnt
    assert len(judged) == len(set(judged)) == 7


def test_batch_of_clips_and_windows(store: Store, with_windows: Inputs) -> None:
    data = training_set(store, with_windows, 0, crop_s=2.5)
    settings = TrainSettings(crop_s=2.5, mixup=Mixup(probability=0.0))
    crops = crop_sampling(settings, data.clips.spec)
    items = data.train[torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))]
    batch = make_batch(data, items, crops, settings, torch.Generator().manual_seed(1))
    assert batch.mask is not None
    is_segment, _ = data.segments_of(items)
    assert is_segment.any()
    assert not is_segment.all()
    assert torch.equal(batch.labels[~is_segment], data.labels[items[~is_segment]])
    assert batch.mask[~is_segment].all()
    # A crop of a window lies in it, so its labels are the window's.
    assert torch.equal(batch.labels[is_segment], data.labels[items[is_segment]])
    assert batch.mask[is_segment].all()


@pytest.mark.parametrize(
    ("settings", "trains", "validates"),
    [
        ({}, True, {True, False}),
        ({"train": False}, False, {True, False}),
        ({"validate_on": "annotated"}, True, {True}),
        ({"validate_on": "clips"}, True, {False}),
    ],
)
def test_settings(
    store: Store, with_windows: Inputs, settings: Any, trains: bool, validates: set[bool]
) -> None:
    data = training_set(store, with_windows, 1, annotated=AnnotatedCrops(**settings))
    assert bool(data.segments_of(data.train)[0].any()) == trains
    assert set(data.segments_of(data.held_out)[0].tolist()) == validates


@pytest.mark.parametrize("train_too", [True, False])
def test_no_held_out_window_is_mixed_in(
    store: Store, with_windows: Inputs, train_too: bool
) -> None:
    for fold in range(COUNT):
        settings = AnnotatedCrops(mix=0.5, train=train_too)
        data = training_set(store, with_windows, fold, annotated=settings)
        assert data.companions is not None
        mixed = {data.clips.names[row] for row in data.companions.rows.tolist()}
        held = {data.clips.names[row] for row in data.rows_of(data.held_out).tolist()}
        assert mixed
        assert not mixed & held
        assert mixed <= set(data.trained_recordings)
        silent = data.companions.labels.sum(dim=1) == 0
        assert not silent.any()
    assert training_set(store, with_windows, 0).companions is None


def test_how_crops_are_mixed_is_part_of_the_key(with_windows: Inputs) -> None:
    def key(**settings: Any) -> str:
        one = Round(name="one", backbones=("test_resnet",), **settings)
        return train.step(one, "test_resnet", 0, 0, with_windows).key

    mixes = AnnotatedCrops(mix=0.5)
    assert key() == key(mix_share=0.5) == key(annotated=AnnotatedCrops(mix=0.0, frames_weight=0.0))
    assert len({key(), key(annotated=mixes), key(annotated=mixes, mix_share=0.5)}) == 3


def test_training_validates_windows(store: Store, with_windows: Inputs) -> None:
    annotated = AnnotatedCrops(frames_weight=0.5, mix=0.5)
    one = Round(name="one", backbones=("test_resnet",), epochs=1, crop_s=2.5, annotated=annotated)
    made = store.make(train.step(one, "test_resnet", 0, 0, with_windows), train.run)
    table = pd.read_parquet(made / "held_out.parquet")
    windows = table[table["recording"].str.contains("#t=")]
    assert len(table) > len(windows) == 4
    assert windows["recording"].map(start_of).map(lambda found: found[1]).unique().size == 2
    assert np.isfinite(np.stack(table["probabilities"].to_list())).all()
    attribution = pd.read_csv(made / "ATTRIBUTION.csv")["recording"]
    assert attribution.str.startswith("train_soundscapes/").sum() == 5


def test_a_label_of_people_is_their_share_and_scores_are_of_most_of_them(
    store: Store, with_windows: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three people all name the first class, two a second and one a third; of two, one each."""

    def read_of_people(catalog: Any) -> AnnotatedRecordings:
        found = read_annotated(catalog)
        assert found is not None
        table, label = found.annotations.copy(), sorted(found.annotations["label"].unique())
        names = sorted(table["recording"].unique())
        table = table[table["label"] == label[0]]
        many, few = (table[table["recording"].isin(part)] for part in (names[1:], names[:1]))
        said = [
            *(many.assign(annotator=name) for name in "xyz"),
            *(many.assign(annotator=name, label=label[1]) for name in "xy"),
            few.assign(annotator="x"),
            few.assign(annotator="y", label=label[1]),
        ]
        complete = [
            part.assign(annotator=name)
            for part, people in (
                (found.complete[found.complete["recording"].isin(names[1:])], "xyz"),
                (found.complete[found.complete["recording"].isin(names[:1])], "xy"),
            )
            for name in people
        ]
        return replace(found, annotations=pd.concat(said), complete=pd.concat(complete))

    monkeypatch.setattr("birdcore.sources.annotated.read_annotated", read_of_people)
    data = training_set(store, with_windows, 0, crop_s=2.5)
    assert data.annotated is not None
    settings = TrainSettings(crop_s=2.5, mixup=Mixup(probability=1.0, labels="losses"))
    crops = crop_sampling(settings, data.clips.spec)
    count, first = len(data.annotated.rows), len(data.clips.names)
    items = first + torch.arange(count)
    plain = settings.model_copy(update={"mixup": Mixup(probability=0.0)})
    batch = make_batch(data, items, crops, plain, torch.Generator().manual_seed(0))
    people = data.annotated.labels.voters[data.annotated.rows]
    assert batch.mixed is None
    assert batch.voters is not None
    assert torch.equal(batch.voters, people)
    assert set(people.tolist()) == {2, 3}
    for labels, voters in zip(batch.labels, people.tolist(), strict=True):
        named = sorted(labels[labels > 0].tolist())
        assert named == pytest.approx([0.5, 0.5] if voters == 2 else [2 / 3, 1]) or not named
    assert data.known is not None
    truth, known = data.labels[items], data.known[items]
    assert set(truth.unique().tolist()) <= {0, 1}
    tied = (people == 2) & (batch.labels > 0).any(dim=1)
    assert tied.any()
    assert (known[tied].sum(dim=1) == truth.shape[1] - 2).all()
    assert known[people == 3].all()
    assert truth[people == 3].sum(dim=1).unique().tolist() in ([2], [0, 2])

    mixed = make_batch(data, items, crops, settings, torch.Generator().manual_seed(0)).mixed
    assert mixed is not None
    assert mixed.voters is not None
    assert sorted(mixed.voters.tolist()) == sorted(people.tolist())


def test_segments_have_the_weights_of_their_recordings(store: Store, with_windows: Inputs) -> None:
    plain = training_set(store, with_windows, 0)
    assert plain.weights is None
    assert training_set(store, with_windows, 0, {}).weights is None  # all alike
    seldom = next(name for name in plain.clips.names if name.startswith("train_soundscapes/"))
    data = training_set(store, with_windows, 0, {seldom: 0.25})
    assert data.weights is not None
    assert len(data.weights) == len(data.labels)
    rows = data.rows_of(torch.arange(len(data.labels)))
    names = [data.clips.names[row] for row in rows.tolist()]
    expected = [0.25 if name == seldom else 1.0 for name in names]
    assert data.weights.tolist() == expected
    assert expected.count(0.25) > 1  # the recording and its windows
