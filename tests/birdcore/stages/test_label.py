"""The label stage: soft labels by segment, which say who taught them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from birdcore.config import Output, PseudoLabels, Round
from birdcore.features.columns import stacked
from birdcore.features.recordings import read_mels
from birdcore.inference.predict import load_predictors, predict_recording, read_soundscapes
from birdcore.inference.window_batches import Recording
from birdcore.inference.windows import segment_mean
from birdcore.pseudo_labels.soft import segment_starts
from birdcore.sources.folds import EVERYWHERE, soundscape_fold
from birdcore.stages import label
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store
from birdcore.training.segments import read_segments

MadeMel = Callable[..., Artifact]
MadeModel = Callable[..., Ref]
CROP_S = 5.0
CPU = torch.device("cpu")


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * 32_000))
    return 0.1 * samples * np.sin(np.arange(len(samples)) / 9_000)


def labelled(store: Store, teacher: tuple[Ref, ...], mel: Artifact, **settings: Any) -> Artifact:
    one = Round(name="two", backbones=("test_resnet",), label=PseudoLabels(**settings))
    return store.make(label.step(one, "soundscapes", 0, teacher, mel.ref), label.run)


def rows(artifact: Artifact) -> pd.DataFrame:
    return pd.read_parquet(artifact / "labels.parquet")


def test_a_segment_is_the_mean_of_its_frames_over_all_teachers(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    teacher = (model_of(0), model_of(1, frames=157), model_of(2, backbone="test_efficientnet"))
    mel = mel_of({"a": sound(11.3), "b": sound(20, 1)}, "train_soundscapes")
    table = rows(labelled(store, teacher, mel))
    soundscapes = read_soundscapes(mel / "mel.parquet")
    predictors = load_predictors([store.get(ref).folder for ref in teacher])
    for at, name in enumerate(soundscapes.names):
        alone = [predict_recording([one], Recording(soundscapes, at), 2.5) for one in predictors]
        cells = np.mean([np.concatenate(list(blocks)) for blocks in alone], axis=0)
        own = table[table["recording"] == name]
        assert own["start"].iloc[0] == 0
        for start, end, p in zip(own["start"], own["end"], own["probabilities"], strict=True):
            assert end == start + 5
            centres = (np.arange(len(cells)) + 0.5) * 8 / 62.5
            inside = cells[(centres >= start - 1e-6) & (centres < end - 1e-6)]
            np.testing.assert_allclose(p, inside.mean(axis=0), atol=1e-6)
    assert stacked(table["probabilities"], np.float32).std(axis=0).min() > 1e-3


def test_out_of_fold_a_recording_is_labelled_by_those_who_were_not_trained_on_it(
    store: Store, mel_of: MadeMel, model_of: MadeModel, publish: Any
) -> None:
    teacher = tuple(model_of(seed, fold=seed % 2) for seed in range(4))
    names = [f"t{at}" for at in range(9)]
    mel = mel_of({name: sound(6, at) for at, name in enumerate(names)}, "train_soundscapes")
    recordings = [str(name) for name in read_soundscapes(mel / "mel.parquet").names]
    # Two of them are clips with a fold, one trains everywhere; the others are soundscapes.
    table = pd.DataFrame({"recording": recordings[:3], "fold": [0, 1, EVERYWHERE]})
    folds = publish("folds", {"folds.parquet": table}, count=2)
    one = Round(name="two", backbones=("test_resnet",), crop_s=5.0)
    step = label.step(one, "clips", 0, teacher, mel.ref, folds=folds)
    got = rows(store.make(step, label.run)).set_index("recording")["probabilities"]
    of_fold = [rows(labelled(store, teacher[fold::2], mel)) for fold in (0, 1)]
    of_all = rows(labelled(store, teacher, mel))
    expected = dict(zip(recordings, [of_fold[0], of_fold[1], of_all], strict=False))
    for name in recordings[3:]:
        expected[name] = of_fold[soundscape_fold(name, 2)]
    for name, said in expected.items():
        np.testing.assert_allclose(
            np.stack(got.loc[[name]]),
            np.stack(said.set_index("recording").loc[[name], "probabilities"]),
            atol=1e-6,  # other batches sum in another order
        )
    assert len({soundscape_fold(name, 2) for name in recordings[3:]}) == 2


@pytest.mark.parametrize(
    ("output", "step_s"), [("clipwise", None), ("both", 0.625), ("framewise", 1.0)]
)
def test_a_teacher_says_what_it_is_asked_for_in_windows_as_far_apart_as_said(
    store: Store, mel_of: MadeMel, model_of: MadeModel, output: Output, step_s: float | None
) -> None:
    teacher = (model_of(0), model_of(1))
    mel = mel_of({"a": sound(11.3)}, "train_soundscapes")
    table = rows(labelled(store, teacher, mel, output=output, step_s=step_s))
    soundscapes = read_soundscapes(mel / "mel.parquet")
    predictors = load_predictors([store.get(ref).folder for ref in teacher])
    recording = Recording(soundscapes)
    cells = list(predict_recording(predictors, recording, step_s or 2.5, output))
    count, rate = sum(map(len, cells)), recording.cells.rate
    expected = segment_mean(cells, count, rate, table["start"], table["end"])
    p = stacked(table["probabilities"], np.float32)
    np.testing.assert_allclose(p, expected, atol=1e-6)
    plain = rows(labelled(store, teacher, mel))
    assert (
        plain["start"].tolist()
        == table["start"].tolist()
        == pytest.approx([0, 2.5, 5, 6.3], abs=0.02)
    )
    assert np.abs(stacked(plain["probabilities"], np.float32) - p).max() > 1e-3


def test_columns_follow_the_settings(store: Store, mel_of: MadeMel, model_of: MadeModel) -> None:
    teacher = (model_of(),)
    mel = mel_of({"a": sound(30)}, "train_soundscapes")
    plain = rows(labelled(store, teacher, mel))
    p = stacked(plain["probabilities"], np.float32)
    high, low, threshold = np.quantile(p, [0.7, 0.3, 0.9])
    artifact = labelled(
        store, teacher, mel, power=1.5, high=float(high), low=float(low), threshold=float(threshold)
    )
    table = rows(artifact)
    np.testing.assert_array_equal(stacked(table["probabilities"], np.float32), p)
    np.testing.assert_allclose(stacked(table["labels"], np.float32), p**1.5, rtol=1e-6)
    mask = stacked(table["mask"], np.bool_)
    np.testing.assert_array_equal(mask, (p >= high) | (p <= low))
    assert 0 < mask.mean() < 1
    kept = table["kept"].to_numpy()
    np.testing.assert_array_equal(kept, p.max(axis=1) >= threshold)
    assert 0 < kept.mean() < 1
    assert artifact.metrics["kept"] == kept.sum()
    assert artifact.metrics["segments"] == len(table)
    assert plain["kept"].all()
    assert stacked(plain["mask"], np.bool_).all()


def test_the_schema_names_the_teacher(store: Store, mel_of: MadeMel, model_of: MadeModel) -> None:
    teacher = (model_of(0), model_of(1))
    mel = mel_of({"a": sound(6)}, "train_soundscapes")
    artifact = labelled(store, teacher, mel, power=2.0)
    meaning = json.loads(pq.read_schema(artifact / "labels.parquet").metadata[b"birdflow.labels"])
    assert meaning == {
        "teacher": [f"train/{ref.key}" for ref in teacher],
        "power": 2.0,
        "classes": ["a", "b", "c"],
    }


def test_another_teacher_makes_other_labels(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    mel = mel_of({"a": sound(6)}, "train_soundscapes")
    first, second = (labelled(store, (model_of(seed),), mel) for seed in (0, 1))
    assert first.ref != second.ref
    assert labelled(store, (model_of(0),), mel).ref == first.ref


def test_a_short_soundscape_is_one_segment(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    mel = mel_of({"a": sound(3), "b": sound(1 / 32_000)}, "train_soundscapes")
    table = rows(labelled(store, (model_of(),), mel))
    assert table["recording"].tolist() == ["train_soundscapes/a.wav", "train_soundscapes/b.wav"]
    assert table[["start", "end"]].to_numpy().tolist() == [[0, 5], [0, 5]]


def test_a_shard_without_soundscapes_joins_others(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    mels = [mel_of({}, "train_soundscapes"), mel_of({"a": sound(11)}, "train_soundscapes")]
    made = [labelled(store, (model_of(),), mel) for mel in mels]
    assert made[0].metrics == {"recordings": 0, "segments": 0, "kept": 0, "mean_label_sum": None}
    schemas = [pq.read_schema(a / "labels.parquet").remove_metadata() for a in made]
    assert schemas[0] == schemas[1]
    soundscapes = read_mels([m / "mel.parquet" for m in mels], CPU)
    segments = read_segments(soundscapes, [a / "labels.parquet" for a in made], CROP_S)
    assert len(segments.rows) == len(rows(made[1])) > 0
    with pytest.raises(ValueError, match=r"no soundscape segment passed round\.label\.threshold"):
        read_segments(soundscapes, [made[0] / "labels.parquet"], CROP_S)


def test_segments_that_no_class_reached_are_not_drawn(
    store: Store, mel_of: MadeMel, model_of: MadeModel, tmp_path: Path
) -> None:
    mel = mel_of({"a": sound(30)}, "train_soundscapes")
    p = stacked(rows(labelled(store, (model_of(),), mel))["probabilities"], np.float32)
    threshold = float(np.quantile(p.max(axis=1), 0.5))
    artifact = labelled(store, (model_of(),), mel, threshold=threshold)
    soundscapes = read_mels([mel / "mel.parquet"], CPU)
    segments = read_segments(soundscapes, [artifact / "labels.parquet"], CROP_S)
    assert len(segments.rows) == (p.max(axis=1) >= threshold).sum() < len(p)


@example(seconds=0.5000000000000001, segment_s=0.5, overlap=0.0)
@given(seconds=st.floats(0.1, 4_000), segment_s=st.floats(0.5, 30), overlap=st.floats(0, 0.95))
def test_segments_overlap_and_reach_the_end(
    seconds: float, segment_s: float, overlap: float
) -> None:
    hop_s = segment_s * (1 - overlap)
    starts = segment_starts(seconds, segment_s, hop_s)
    assert starts[0] == 0
    assert starts[-1] == pytest.approx(max(0.0, seconds - segment_s), abs=1e-6 * hop_s)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= hop_s * (1 + 1e-5)).all()
