"""Teachers of which there is a file: every form of model says the same, and what does not fit is
refused in a line that names it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.teachers import teacher_named
from birdcore.teachers.file_model import centred, sigmoid
from tests.support.teacher_files import (
    CLASSES,
    DESCRIPTION,
    RATE,
    SAMPLES,
    SECONDS,
    WIDTH,
    answers,
    write_onnx,
    write_teacher,
    write_tflite,
)

WAVES = np.random.default_rng(1).normal(size=(11, SAMPLES)).astype(np.float32) / 10


def expit(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


@pytest.mark.parametrize(
    ("batch", "channels"),
    [(1, False), (4, False), ("n", False), (None, False), (1, True), (4, True), ("n", True)],
)
def test_every_form_of_input_gives_the_same(tmp_path: Path, batch: Any, channels: bool) -> None:
    teacher = teacher_named(str(write_teacher(tmp_path, batch=batch, channels=channels)))
    probabilities, embeddings = teacher.open(1)(WAVES)
    logits, vectors = answers(WAVES)
    np.testing.assert_allclose(embeddings, vectors, atol=1e-4)
    np.testing.assert_allclose(probabilities, expit(logits), atol=1e-5)
    assert (teacher.width, teacher.window, teacher.classes) == (WIDTH, SAMPLES, CLASSES)
    assert teacher.name == "cosines"


def test_a_model_is_opened_for_one_thread_at_a_time(tmp_path: Path) -> None:
    teacher = teacher_named(str(write_teacher(tmp_path)))
    opened = [teacher.open(threads) for threads in (1, 1, 2)]
    assert len(set(map(id, opened))) == 3
    for infer in opened:
        np.testing.assert_allclose(infer(WAVES)[1], answers(WAVES)[1], atol=1e-4)


def test_half_precision_is_read_and_given_back_as_float32(tmp_path: Path) -> None:
    teacher = teacher_named(str(write_teacher(tmp_path, half=True)))
    probabilities, embeddings = teacher.open(1)(WAVES)
    assert probabilities.dtype == embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, answers(WAVES)[1], atol=0.02)


@pytest.mark.parametrize("named", [True, False])
def test_tflite_by_names_of_a_signature_or_of_tensors(tmp_path: Path, named: bool) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install 'birdflow[birdnet]'")
    path = write_teacher(tmp_path)
    write_tflite(tmp_path / "cosines.tflite", named=named)
    path.write_text(DESCRIPTION.replace("cosines.onnx", "cosines.tflite"))
    probabilities, embeddings = teacher_named(str(path)).open(1)(WAVES)
    logits, vectors = answers(WAVES)
    np.testing.assert_allclose(embeddings, vectors, atol=1e-4)
    np.testing.assert_allclose(probabilities, expit(logits), atol=1e-5)


def test_logits_are_mapped_and_windows_prepared_as_described(tmp_path: Path) -> None:
    path = write_teacher(tmp_path, "slope = 0.97\nintercept = -10\npeak = 0.25\n")
    probabilities, embeddings = teacher_named(str(path)).open(1)(WAVES)
    waves = WAVES - WAVES.mean(axis=1, keepdims=True)
    logits, vectors = answers(0.25 * waves / np.abs(waves).max(axis=1, keepdims=True))
    np.testing.assert_allclose(embeddings, vectors, atol=1e-4)
    np.testing.assert_allclose(probabilities, expit(0.97 * logits - 10), atol=1e-6)


def test_probabilities_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write_teacher(tmp_path, probabilities=True)
    path.write_text(DESCRIPTION.replace('"logits"', '"probabilities"'))
    probabilities, _ = teacher_named(str(path)).open(1)(WAVES)
    np.testing.assert_allclose(probabilities, expit(answers(WAVES)[0]), atol=1e-5)


@given(st.floats(-1e4, 1e4, width=32), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_sigmoid_is_scipys_and_never_overflows(
    logit: float, slope: float, intercept: float
) -> None:
    from scipy.special import expit as reference

    found = sigmoid(np.array([[logit]], np.float32), slope, intercept)
    np.testing.assert_allclose(found, [[reference(slope * logit + intercept)]], atol=1e-6)


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=20), st.floats(0.01, 2))
def test_centred_windows_have_no_mean_and_that_peak(samples: list[float], peak: float) -> None:
    found = centred(np.array([samples], np.float32), peak)
    assert np.isfinite(found).all()
    if np.ptp(samples) > 1e-3:
        assert np.abs(found).max() == pytest.approx(peak, rel=1e-4)
        assert found.mean() == pytest.approx(0, abs=1e-4 * peak)


def test_its_files_and_settings_decide_and_places_and_comments_do_not(
    tmp_path: Path,
) -> None:
    path = write_teacher(tmp_path)
    files = teacher_named(str(path)).files
    assert files.keys() == {"file", "labels", "description"}

    def now(text: str) -> Any:
        path.write_text(text)
        return teacher_named(str(path)).files

    assert now(f"# a comment\n{DESCRIPTION}batch = 4  # the default\n") == files
    assert now(DESCRIPTION + "batch = 3\n") != files
    assert now(DESCRIPTION + "slope = 2\n") != files
    assert now(DESCRIPTION.replace("CC BY-NC 4.0", "CC0")) != files
    assert now(DESCRIPTION) == files
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "cosines.onnx").rename(elsewhere / "model.onnx")
    there = teacher_named(str(path), {"file": str(elsewhere / "model.onnx")})
    assert there.files == files
    assert there.places["file"] == str(elsewhere / "model.onnx")


def damaged(folder: Path) -> None:
    path = folder / "cosines.onnx"
    path.write_bytes(path.read_bytes()[:2000])


def no_model(folder: Path) -> None:
    (folder / "cosines.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")


def labels(text: str) -> Any:
    return lambda folder: (folder / "labels.txt").write_text(text)


def described(old: str, new: str) -> Any:
    return lambda folder: (folder / "cosines.toml").write_text(DESCRIPTION.replace(old, new))


def remodelled(**form: Any) -> Any:
    return lambda folder: write_onnx(folder / "cosines.onnx", **form)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "cosines.onnx").unlink(), r"onnx: there is no such file"),
        (lambda folder: (folder / "labels.txt").unlink(), r"labels\.txt: there is no such file"),
        (lambda folder: (folder / "cosines.toml").unlink(), r"toml: there is no such desc"),
        (damaged, r"cosines\.onnx: damaged or no ONNX model"),
        (no_model, r"cosines\.onnx: damaged or no ONNX model"),
        (described("window_s = 0.5", "window_s = 0.6"),
         rf"cosines\.onnx: reads windows of {SAMPLES} samples, not of 2400.*0.6 s at {RATE} Hz"),
        (described("sample_rate = 4000", "sample_rate = 8000"), "not of 4000"),
        (remodelled(samples="any"), None),
        (described('= "embedding"', '= "embeding"'),
         r"cosines\.onnx: has no output 'embeding'.*did you mean 'embedding'"),
        (described('label = "label"', 'label = "predictions"'),
         r"has no output 'predictions'.*There are embedding, label"),
        (remodelled(by_time=True), rf"output 'embedding' has the shape \(1, 1, {WIDTH}\)"),
        (remodelled(nan=True), r"onnx: its output 'label' has .* no numbers \(of sil"),
        (labels("\n".join(CLASSES[:3])), r"labels\.txt: names 3 classes, .* has 4"),
        (labels("\n".join([*CLASSES[:3], "parus major"])),
         r"labels\.txt:4: 'parus major' is there twice, first in line 1"),
        (labels(""), r"labels\.txt: names no class"),
        (described("scores", "slop = 1\nscores"), r"toml:8: unknown key slop; did you .*'slope'"),
        (described('licence = "CC BY-NC 4.0"\n', ""), r"cosines\.toml: licence is missing"),
        (described('scores = "logits"', 'scores = "probabilities"\nslope = 2'),
         r"cosines\.toml:9: slope = 2.*is of logits"),
        (described("0.5", '"0.5"'), r"cosines\.toml:5: window_s = \"0.5\": must be a number"),
        (described("cosines.onnx", "cosines.pt"), r"cosines\.pt: there is no such file"),
        (described("cosines.onnx", "labels.txt"), r"labels\.txt: a teacher's file ends in"),
        (described('file = "cosines.onnx"\n', ""), r"cosines\.toml: names no file: say"),
        (described("name", "base = 1\nname"), r"cosines\.toml:1: base must be"),
        (described("name =", "name"), r"cosines\.toml:1: not TOML"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_line(
    tmp_path: Path, change: Any, says: str | None
) -> None:
    path = write_teacher(tmp_path)
    change(tmp_path)
    if says is None:
        teacher_named(str(path))
        return
    with pytest.raises(ValueError, match=says) as refused:
        teacher_named(str(path))
    assert "\n" not in str(refused.value)


def test_logits_that_are_called_probabilities_are_refused(tmp_path: Path) -> None:
    path = write_teacher(tmp_path)
    path.write_text(DESCRIPTION.replace('"logits"', '"probabilities"'))
    infer = teacher_named(str(path)).open(1)  # silence gives 0, which may be either
    with pytest.raises(ValueError, match=r"no probabilities: has its description to say scores"):
        infer(WAVES)


@pytest.mark.parametrize("name", ["perch-v2", "birdnet-3"])
def test_shipped_descriptions_lack_their_files_alone(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{name}\.toml: names no file: say where yours is"):
        teacher_named(name)
    with pytest.raises(ValueError, match=rf"nowhere\.onnx: there is no such file, which .*{name}"):
        teacher_named(name, {"file": "nowhere.onnx"})


def test_a_description_takes_from_its_base_what_it_does_not_say(tmp_path: Path) -> None:
    path = write_teacher(tmp_path)
    path.write_text(
        f'base = "perch-v2"\nfile = "cosines.onnx"\nlabels = "labels.csv"\n'
        f"sample_rate = {RATE}\nwindow_s = {SECONDS}\n"
    )
    (tmp_path / "labels.csv").write_text("\n".join(["inat2024_fsd50k", *CLASSES]) + "\n")
    teacher = teacher_named(str(path))
    assert teacher.classes == CLASSES
    assert teacher.credit.license == "Apache-2.0"
    waves = WAVES - WAVES.mean(axis=1, keepdims=True)
    logits, _ = answers(0.25 * waves / np.abs(waves).max(axis=1, keepdims=True))
    np.testing.assert_allclose(teacher.open(1)(WAVES)[0], expit(0.97 * logits - 10), atol=1e-6)
