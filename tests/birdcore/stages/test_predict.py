"""The predict stage: every backbone's word on every segment of every soundscape."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from birdcore.config import Output, Predict
from birdcore.features.columns import stacked
from birdcore.inference.predict import load_predictors, predict_recording, read_soundscapes
from birdcore.inference.window_batches import Recording
from birdcore.stages import predict
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

MadeMel = Callable[..., Artifact]
MadeModel = Callable[..., Ref]


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * 32_000))
    return 0.1 * samples * np.sin(np.arange(len(samples)) / 9_000)


def predicted(
    store: Store, models: tuple[Ref, ...], mel: Artifact, settings: Predict | None = None
) -> Artifact:
    step = predict.step("one", 0, models, mel.ref, settings or Predict())
    return store.make(step, predict.run)


def rows(artifact: Artifact) -> pd.DataFrame:
    return pd.read_parquet(artifact / "predictions.parquet")


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [
        (1 / 32_000, [5]),
        (3, [5]),
        (5, [5]),
        (5.05, [5]),
        (15, [5, 10, 15]),
        (17, [5, 10, 15, 20]),
    ],
)
def test_each_five_seconds_have_a_row_and_the_last_part_too(
    store: Store, mel_of: MadeMel, model_of: MadeModel, seconds: float, ends: list[int]
) -> None:
    table = rows(predicted(store, (model_of(),), mel_of({"a": sound(seconds)})))
    assert table["end"].tolist() == ends
    assert set(table["recording"]) == {"test_soundscapes/a.wav"}
    probabilities = stacked(table["probabilities"], np.float32)
    assert probabilities.shape == (len(ends), 3)
    assert np.isfinite(probabilities).all()


@pytest.mark.parametrize(("output", "step_s"), [("framewise", 2.0), ("both", 0.625)])
def test_a_row_is_the_maximum_of_the_mean_over_folds(
    store: Store, mel_of: MadeMel, model_of: MadeModel, output: Output, step_s: float
) -> None:
    models = (model_of(0), model_of(1), model_of(2, backbone="conv_gru"))
    mel = mel_of({"a": sound(12.4), "b": sound(31, 1)})
    settings = Predict(output=output, step_s=step_s)
    artifact = predicted(store, models, mel, settings)
    table = rows(artifact)
    assert artifact.metrics == {"recordings": 2, "rows": 2 * (3 + 7), "models": 3}
    assert set(table["backbone"]) == {"test_resnet", "conv_gru"}
    soundscapes = read_soundscapes(mel / "mel.parquet")
    predictors = load_predictors([store.get(ref).folder for ref in models])
    by_backbone = {"test_resnet": predictors[:2], "conv_gru": predictors[2:]}
    for at, name in enumerate(soundscapes.names):
        for backbone, of_folds in by_backbone.items():
            recording = Recording(soundscapes, at)
            alone = [predict_recording([one], recording, step_s, output) for one in of_folds]
            cells = np.mean([np.concatenate(list(blocks)) for blocks in alone], axis=0)
            centres = (np.arange(len(cells)) + 0.5) * 8 / 62.5
            own = table[(table["recording"] == name) & (table["backbone"] == backbone)]
            for end, p in zip(own["end"], own["probabilities"], strict=True):
                inside = (centres >= end - 5) & ((centres < end) | (end == own["end"].max()))
                np.testing.assert_allclose(p, cells[inside].max(axis=0), atol=1e-6)
    assert stacked(table["probabilities"], np.float32).std(axis=0).min() > 1e-3


def test_what_sounds_only_in_the_last_second_is_heard(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    quiet = 1e-3 * sound(19)
    call = quiet.copy()
    call[-24_000:] += 0.5 * np.sin(np.arange(24_000) * 0.6)
    before, after = (
        rows(predicted(store, (model_of(),), mel_of({name: samples})))
        for name, samples in (("a", quiet), ("b", call))
    )
    change = np.abs(
        stacked(after["probabilities"], float) - stacked(before["probabilities"], float)
    )
    assert change[-1].max() > 0.05


def test_a_shard_without_soundscapes_gives_a_table_like_any_other(
    store: Store, mel_of: MadeMel, model_of: MadeModel
) -> None:
    empty = predicted(store, (model_of(),), mel_of({}))
    full = predicted(store, (model_of(),), mel_of({"a": sound(5)}))
    schemas = [pq.read_schema(a / "predictions.parquet") for a in (empty, full)]
    assert schemas[0] == schemas[1]
    assert empty.metrics == {"recordings": 0, "rows": 0, "models": 1}
    both = pd.concat([rows(empty), rows(full)])
    assert both["end"].dtype == np.int64


def test_smoothing_is_no_matter_of_prediction(mel_of: MadeMel, model_of: MadeModel) -> None:
    mel, models = mel_of({"a": sound(5)}).ref, (model_of(),)
    plain = predict.step("one", 0, models, mel, Predict())
    assert predict.step("one", 0, models, mel, Predict(gaussian=1.0)).key == plain.key
    for settings in (Predict(step_s=1.0), Predict(output="both")):
        assert predict.step("one", 0, models, mel, settings).key != plain.key
