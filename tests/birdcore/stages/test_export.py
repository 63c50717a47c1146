"""Stage `export`: the published file is the model, or nothing is published."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from birdcore.config import Export, Predict
from birdcore.features.recordings import read_mels
from birdcore.inference import onnx as exporting
from birdcore.inference.engine import EngineOutput, cpu_engine, has_bf16, open_engine
from birdcore.inference.onnx_file import INT8_FILE, ONNX_FILE, read_description
from birdcore.inference.windows import window_starts
from birdcore.models.input import load_input, model_input
from birdcore.stages import export, predict
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

from .test_predict import rows, sound, stacked

pytestmark = pytest.mark.xdist_group("exports")  # the first of a process takes long

MadeMel = Callable[..., Artifact]
MadeModel = Callable[..., Ref]


@pytest.fixture
def mel(mel_of: MadeMel) -> Artifact:
    return mel_of({"a": sound(12.4), "b": sound(3.0, 1)})


def exported(store: Store, model: Ref, mel: Artifact) -> Artifact:
    return store.make(export.step("one fold 0", model, (mel.ref,), Export()), export.run)


def test_export_agrees_with_torch(store: Store, mel: Artifact, model_of: MadeModel) -> None:
    artifact = exported(store, model_of(), mel)
    names = {file.name for file in artifact.manifest.files}
    assert names == {"model.onnx", "model.json", "input.json"}
    assert artifact.metrics["windows"] == 4  # three of 12.4 s and one of 3 s
    assert 0 <= artifact.metrics["difference"] < 1e-4
    onnx.checker.check_model(artifact / ONNX_FILE)


def test_wrong_export_is_not_published(
    store: Store, mel: Artifact, model_of: MadeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(batch: object) -> EngineOutput:
        return EngineOutput(np.zeros((4, 3), np.float32), np.zeros((4, 10, 3), np.float32))

    monkeypatch.setitem(exporting.ENGINES, "openvino", lambda folder: swapped)
    step = export.step("one fold 0", model_of(), (mel.ref,), Export())
    with pytest.raises(ValueError, match=r"export of .* is wrong: .* differ from torch's by"):
        store.make(step, export.run)
    assert store.find(step.ref) is None


def test_predictions_by_exports_are_those_by_torch(
    store: Store, mel: Artifact, model_of: MadeModel
) -> None:
    # Two of one shape, which share a graph and must not share weights.
    models = (model_of(0), model_of(1), model_of(2, backbone="test_efficientnet"))
    exports = tuple(exported(store, model, mel).ref for model in models)
    steps = [predict.step("one", 0, models, mel.ref, Predict(), e) for e in ((), exports)]
    assert steps[0].key != steps[1].key
    tables = [rows(store.make(step, predict.run)) for step in steps]
    columns = ["recording", "backbone", "end"]
    assert tables[0][columns].equals(tables[1][columns])
    by_torch, by_export = (stacked(table["probabilities"], np.float32) for table in tables)
    np.testing.assert_allclose(by_export, by_torch, atol=1e-4)
    assert not np.array_equal(by_export, by_torch)  # it was not torch again


@pytest.fixture
def held_out() -> pd.DataFrame:
    """Each recording has one of the classes; two recordings for each."""
    names = [f"test_soundscapes/{name}.wav" for name in "abcdef"]
    return pd.DataFrame({"recording": names, "targets": list(np.eye(3, dtype="f4")[[0, 1, 2] * 2])})


def held_out_auc(exported: Path, mel: Artifact, held_out: pd.DataFrame) -> float:
    """Of an export's maximum over windows that lie a window apart, each computed alone."""
    engine, spec = open_engine(exported, cpu_engine()), load_input(exported)
    clips = read_mels([mel / "mel.parquet"], torch.device("cpu"))
    best = []
    for name in held_out["recording"]:
        row = clips.names.index(name)
        starts = window_starts(int(clips.lengths[row]), spec.frames, spec.frames)
        power = [clips.power(torch.tensor([row]), torch.tensor([s]), spec.frames) for s in starts]
        best.append(np.max([engine(model_input(p, spec)).clipwise[0] for p in power], axis=0))
    targets = np.stack(held_out["targets"].to_list())
    return float(roc_auc_score(targets, np.stack(best), average="macro"))


def test_int8_is_published_with_what_it_loses(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    held_out: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Six recordings: one that changes its rank is a tenth of AUC.
    monkeypatch.setattr(export, "MAX_LOSS", 1.0)
    mel = mel_of({name: sound(7.0, seed) for seed, name in enumerate("abcdef")})
    model = model_of(held_out=held_out)
    step = export.step("one fold 0", model, (mel.ref,), Export(int8=True))
    assert step.key != export.step("one fold 0", model, (mel.ref,), Export()).key
    artifact = store.make(step, export.run)
    assert artifact.metrics["int8"] is True
    assert (artifact / INT8_FILE).stat().st_size < (artifact / ONNX_FILE).stat().st_size / 2
    described = [read_description(artifact / name) for name in (INT8_FILE, ONNX_FILE)]
    assert described[0] == described[1]
    # Its loss is that of the two files, window by window, recording by recording.
    plain = store.make(export.step("one fold 0", model, (mel.ref,), Export()), export.run)
    aucs = [held_out_auc(each.folder, mel, held_out) for each in (plain, artifact)]
    assert artifact.metrics["int8_auc_loss"] == pytest.approx(aucs[0] - aucs[1], abs=1e-5)
    # It is used, and is another model, though not by much.
    steps = [
        predict.step("one", 0, (model,), mel.ref, Predict(), (each.ref,))
        for each in (artifact, plain)
    ]
    tables = [rows(store.make(step, predict.run)) for step in steps]
    ours, exact = (stacked(table["probabilities"], np.float32) for table in tables)
    assert 1e-5 < np.abs(ours - exact).max() < 0.1


def test_int8_that_loses_too_much_is_left_out(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    held_out: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "MAX_LOSS", -2.0)
    mel = mel_of({name: sound(7.0, seed) for seed, name in enumerate("abcdef")})
    step = export.step("one", model_of(held_out=held_out), (mel.ref,), Export(int8=True))
    artifact = store.make(step, export.run)
    assert artifact.metrics["int8"] is False
    assert {file.name for file in artifact.manifest.files} == {
        "model.onnx", "model.json", "input.json"
    }  # fmt: skip


def exported_bf16(store: Store, model: Ref, mel: Artifact) -> Artifact:
    step = export.step("one fold 0", model, (mel.ref,), Export(bf16=True))
    assert step.key != export.step("one fold 0", model, (mel.ref,), Export()).key
    return store.make(step, export.run)


def test_bf16_is_written_into_a_model_for_which_it_will_do(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    held_out: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "MAX_LOSS", 1.0)
    # Of the stage alone: on a CPU without bfloat16 the engine then computes in float32.
    monkeypatch.setattr("birdcore.inference.engine.has_bf16", lambda: True)
    mel = mel_of({name: sound(7.0, seed) for seed, name in enumerate("abcdef")})
    model = model_of(held_out=held_out)
    artifact, plain = exported_bf16(store, model, mel), exported(store, model, mel)
    assert artifact.metrics["bf16"] is True
    aucs = [held_out_auc(each.folder, mel, held_out) for each in (plain, artifact)]
    assert artifact.metrics["bf16_auc_loss"] == pytest.approx(aucs[0] - aucs[1], abs=1e-5)
    assert read_description(artifact / ONNX_FILE).precision == "bf16"
    # Nothing else in the file is another, so what knows no bfloat16 computes as before.
    spec = load_input(plain.folder)
    batch = torch.rand(2, 1, spec.mel.bins, spec.frames)
    by_onnx = [open_engine(each.folder, "onnx")(batch) for each in (artifact, plain)]
    assert exporting.largest_difference(*by_onnx) == 0.0
    ours, exact = (open_engine(each.folder, "openvino")(batch) for each in (artifact, plain))
    assert (exporting.largest_difference(ours, exact) > 0) == has_bf16()


@pytest.mark.parametrize("is_native", [True, False])
def test_bf16_that_loses_too_much_or_was_not_tried_is_not_used(
    store: Store,
    mel_of: MadeMel,
    model_of: MadeModel,
    held_out: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    is_native: bool,
) -> None:
    monkeypatch.setattr(export, "MAX_LOSS", -2.0)
    monkeypatch.setattr("birdcore.inference.engine.has_bf16", lambda: is_native)
    mel = mel_of({name: sound(7.0, seed) for seed, name in enumerate("abcdef")})
    artifact = exported_bf16(store, model_of(held_out=held_out), mel)
    assert artifact.metrics["bf16"] is False
    assert (artifact.metrics["bf16_auc_loss"] is None) == (not is_native)
    assert read_description(artifact / ONNX_FILE).precision == "float32"
