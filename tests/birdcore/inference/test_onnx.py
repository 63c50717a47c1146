"""Exports: they compute what torch does, on real recordings; what is no export is refused."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from birdcore.audio.decode import decode
from birdcore.features.mel import MelSpec
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.inference.engine import ENGINES, default_engine, open_engine
from birdcore.inference.onnx import compare, export_onnx, largest_difference
from birdcore.inference.onnx_file import ONNX_FILE, checked_onnx, read_description
from birdcore.inference.trained_model import encoded
from birdcore.inference.trained_model import load_model as load_trained
from birdcore.models.head import HEADS, HeadSettings, SedOutput
from birdcore.models.input import InputSpec, load_input, model_input, save_input
from birdcore.models.sed import ModelSpec, SedModel, load_model, save_model
from birdcore.store.artifact import Ref
from birdcore.store.store import Store

pytestmark = pytest.mark.xdist_group("exports")  # the first of a process takes long

MadeModel = Callable[..., Ref]
EXPORTED = [name for name in ENGINES if name != "torch"]


@pytest.fixture(scope="module")
def exports() -> dict[Ref, bytes]:
    """Exports by model: each takes seconds, and `model_of` gives the same model to every test."""
    return {}


@pytest.fixture
def exported(store: Store, model_of: MadeModel, tmp_path: Path, exports: dict[Ref, bytes]) -> Path:
    """A model's folder with its export."""
    folder, ref = tmp_path / "exported", model_of()
    shutil.copytree(store.get(ref).folder, folder)
    if ref not in exports:
        model, spec = load_model(folder)
        export_onnx(model, spec, load_input(folder), folder / ONNX_FILE)
        exports[ref] = (folder / ONNX_FILE).read_bytes()
    (folder / ONNX_FILE).write_bytes(exports[ref])
    return folder


def crops_of(folder: Path, recording: Path, count: int) -> torch.Tensor:
    """Inputs (count, 1, F, T) of a recording, from windows that do not overlap."""
    spec = load_input(folder)
    audio = decode(recording)
    features = encoded(recording.name, audio.blocks, audio.rate, spec)
    rows = torch.zeros(count, dtype=torch.long)
    with torch.inference_mode():
        return model_input(
            features.power(rows, spec.frames * torch.arange(count), spec.frames), spec
        )


def noise(batch: int) -> torch.Tensor:
    return torch.randn(batch, 1, 32, 313, generator=torch.Generator().manual_seed(batch))


def test_engines_agree_on_real_crops(exported: Path, shared_data: Path) -> None:
    recordings = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[:3]
    batch = torch.cat([crops_of(exported, recording, 8) for recording in recordings])
    outputs = {name: open_engine(exported, name)(batch) for name in ENGINES}
    assert outputs["torch"].framewise.std() > 1e-2
    for name in EXPORTED:
        assert largest_difference(outputs["torch"], outputs[name]) < 1e-4
        assert compare(exported, batch, name) < 1e-4


@pytest.mark.parametrize("name", EXPORTED)
def test_batches_of_any_size_and_threads_at_once(exported: Path, name: str) -> None:
    engine, reference = open_engine(exported, name), open_engine(exported, "torch")
    batches = [noise(size) for size in (1, 3, 7, 2, 5, 1)]
    with ThreadPoolExecutor(max(2, engine.streams)) as threads:
        outputs = list(threads.map(engine, batches))
    for batch, output in zip(batches, outputs, strict=True):
        assert output.framewise.shape[0] == len(batch)
        assert largest_difference(reference(batch), output) < 1e-4


class EveryHead(nn.Module):
    """Each head with one class, side by side."""

    made_by = tuple(HEADS.values())

    def __init__(self, width: int, classes: int, settings: HeadSettings) -> None:
        super().__init__()
        self.heads = nn.ModuleList(make(width, 1, settings) for make in self.made_by)

    def forward(self, features: Tensor) -> SedOutput:
        clips, frames, probabilities, _ = zip(*(head(features) for head in self.heads), strict=True)
        return SedOutput(torch.cat(clips, 1), torch.cat(frames, 1), torch.cat(probabilities, 1))


def test_every_head_is_exported(
    store: Store, model_of: MadeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, since an export takes seconds."""
    shape = ModelSpec(backbone="test_resnet", classes=tuple(HEADS), n_mels=32, head="mean")
    monkeypatch.setitem(HEADS, "mean", EveryHead)
    torch.manual_seed(0)
    model = SedModel(shape).eval()
    batch = 5 * noise(9).cumsum(dim=-1)
    with torch.no_grad():
        pooled = model.pooled(batch)
        for head in model.head.heads:  # type: ignore[union-attr]
            for conv in head.children():  # spread around 0, so that some frames have no weight
                conv.weight.mul_(6.0)
                conv.bias.sub_(conv(pooled).mean(dim=(0, 2)))
            if getattr(head, "weights", None) is not None:
                assert (head.weights(torch.tanh(head.att(pooled))) == 0).any()
    reads = load_input(store.get(model_of()).folder)
    save_model(tmp_path, model, shape)
    save_input(tmp_path, reads)
    export_onnx(model, shape, reads, tmp_path / ONNX_FILE)
    outputs = {name: open_engine(tmp_path, name)(batch) for name in ENGINES}
    assert (outputs["torch"].clipwise.std(axis=0) > 1e-4).all()
    for name in EXPORTED:
        assert largest_difference(outputs["torch"], outputs[name]) < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 500])
def test_an_engine_takes_as_many_cores_as_it_is_told(exported: Path, threads: int) -> None:
    taken = min(threads, torch.get_num_threads())
    engine: Any = load_trained(exported, "openvino", threads).members["model"][0].engine
    assert engine._compiled.get_property("INFERENCE_NUM_THREADS") == taken
    assert engine.streams <= taken
    engine = open_engine(exported, "onnx", threads=threads)
    assert engine._session.get_session_options().intra_op_num_threads == taken
    engine = open_engine(exported, "torch", threads=threads)
    assert engine.torch_threads == taken


def test_the_file_names_its_classes_and_its_input(exported: Path) -> None:
    path, described = checked_onnx(exported)
    assert described == read_description(path)
    assert described.precision == "float32"
    assert described.classes == ("a", "b", "c")
    assert described.input_spec == load_input(exported)
    assert [path.name for path in exported.glob("*.onnx*")] == [ONNX_FILE]


def test_auto_takes_the_export_on_a_cpu(exported: Path, store: Store, model_of: MadeModel) -> None:
    on_cpu = not torch.cuda.is_available()
    assert default_engine(exported) == ("openvino" if on_cpu else "torch")
    assert default_engine(store.get(model_of()).folder) == "torch"


def test_a_trained_model_predicts_alike_by_any_engine(exported: Path) -> None:
    samples = np.random.default_rng(0).standard_normal(32_000 * 12).astype(np.float32)
    columns = ["a", "b", "c"]
    tables = [load_trained(exported, name).predict(samples)[columns] for name in ENGINES]
    for table in tables[1:]:
        np.testing.assert_allclose(table, tables[0], atol=1e-4)


def test_a_model_in_training_mode_is_not_exported(exported: Path) -> None:
    model, spec = load_model(exported)
    with pytest.raises(ValueError, match="training mode"):
        export_onnx(model.train(), spec, load_input(exported), exported / "other.onnx")


def test_an_export_that_computes_something_else_is_refused(exported: Path) -> None:
    model, spec = load_model(exported)
    with torch.no_grad():
        model.head.cla.bias += 0.01
    save_model(exported, model, spec)  # which is no longer what was exported
    for name in EXPORTED:
        with pytest.raises(ValueError, match="differ from torch's by"):
            compare(exported, noise(2), name)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4321])


def _no_model(path: Path) -> None:
    path.write_bytes(b"RIFF....WAVE")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _without_metadata(path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)


def _metadata(path: Path, key: str, value: str) -> None:
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
    onnx.save(model, path)


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "there is no model.onnx in it"),
        (_cut, "damaged or no ONNX model"),
        (_no_model, "damaged or no ONNX model"),
        (_empty, "damaged or no ONNX model"),
        (_without_metadata, "was not exported by birdflow"),
        (lambda path: _metadata(path, "classes", '["a", "c", "b"]'), "the classes differ"),
        (lambda path: _metadata(path, "input", '{"mel": 1}'), "describes an unknown input"),
    ],
)
def test_what_is_no_export_of_the_model_is_refused_in_a_line(
    exported: Path, name: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(exported / ONNX_FILE)
    with pytest.raises(ValueError, match=message) as raised:
        open_engine(exported, name)
    assert "\n" not in str(raised.value)


def test_an_export_of_another_input_is_refused(exported: Path) -> None:
    save_input(exported, load_input(exported).model_copy(update={"top_db": 60.0}))
    with pytest.raises(ValueError, match="the inputs differ"):
        checked_onnx(exported)


def test_an_export_reads_all_channels(tmp_path: Path) -> None:
    mel = Stacked((MelSpec(n_mels=32), StftSpec(n_mels=32)))
    reads = InputSpec(mel=mel, scale=mel.scale("uint8"), frames=64, normalise="zscore", top_db=80.0)
    spec = ModelSpec(backbone="test_resnet", classes=("a", "b"), n_mels=32, input_channels=2)
    model = SedModel(spec).eval()
    save_model(tmp_path, model, spec)
    save_input(tmp_path, reads)
    export_onnx(model, spec, reads, tmp_path / ONNX_FILE)
    assert read_description(tmp_path / ONNX_FILE).input_spec == reads
    batch = torch.randn(3, *reads.shape, generator=torch.Generator().manual_seed(0))
    for engine in EXPORTED:
        assert compare(tmp_path, batch, engine) < 1e-4
