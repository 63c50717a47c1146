"""A run whose ensemble is a probe detects with its teacher, and with no other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from birdcore.detection.models import TeacherDetector, open_detector
from birdcore.inference.trained_model import ENSEMBLE_FILE, FOLDER, EnsembleSpec, load_model
from birdcore.models.probe import Probe, ProbeSpec, load_probe, prior_logits, save_probe
from birdcore.teachers import TEACHERS
from birdcore.teachers.class_mapping import Mapped
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer
from birdcore.teachers.teacher_use import TeacherUse

KNOWN = ("Turdus merula", "Pica pica", "Gryllus bimaculatus")
SPECIES = ("Pica pica", "Gryllus campestris", "Nemobius sylvestris")


def open_fake(threads: int) -> Infer:
    def hear(waves: Floats) -> tuple[Floats, Floats]:
        level = np.abs(waves).mean(axis=1, keepdims=True)
        return level * np.float32([[0.1, 0.5, 0.9]]), np.repeat(level, 4, axis=1)

    return hear


def fake(files: dict[str, str]) -> ExternalTeacher:
    credit = Credit("Fake", "nobody", "CC0", "https://example.org", "none")
    return ExternalTeacher("birdnet", 8_000, 2.0, KNOWN, 4, files, credit, open_fake)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results folder of a run with two probes, and the teacher itself as a member."""
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake({"m": "1"}))
    torch.manual_seed(0)
    folders = ("head/probe/fold-0", "head/probe/fold-1")
    for name in folders:
        folder = tmp_path / FOLDER / name
        folder.mkdir(parents=True)
        save_probe(folder, Probe(ProbeSpec(classes=("a", "b", "c"), width=4, hidden=3, prior=1.0)))
        mapped = {"Gryllus campestris": Mapped("genus", ("Gryllus bimaculatus",))}
        use = TeacherUse(teacher="birdnet", model={"m": "1"}, species=SPECIES, mapped=mapped)
        use.write(folder)
    spec = EnsembleSpec(
        weights={"head/probe": 0.75, "external_teacher/birdnet": 0.25},
        members={},
        probes={"head/probe": folders},
    )
    (tmp_path / FOLDER / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    return tmp_path


def test_windows_have_the_blend_of_probes_and_teacher(run: Path) -> None:
    detector = open_detector(run)
    assert isinstance(detector, TeacherDetector)
    assert [one.code for one in detector.species] == ["a", "b", "c"]
    assert detector.window_s == 2.0
    waves = np.random.default_rng(0).normal(size=(5, 16_000)).astype(np.float32)
    found, embeddings = detector.infer(waves)
    of_teacher = np.zeros((5, 3), np.float32)
    heard, _ = open_fake(1)(waves)
    of_teacher[:, 0], of_teacher[:, 1] = heard[:, 1], heard[:, 2]
    prior = prior_logits(torch.from_numpy(of_teacher))
    prior[:, 2] = 0.0
    folders = (run / FOLDER / "head/probe").iterdir()
    own = [load_probe(f).probabilities(torch.from_numpy(embeddings), prior) for f in folders]
    expected = 0.75 * torch.stack(own).mean(dim=0).numpy() + 0.25 * of_teacher
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_other_files_of_the_teacher_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = open_detector(run).key
    assert key == open_detector(run).key
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: fake({"m": "2"}))
    with pytest.raises(ValueError, match="not those that the model was trained"):
        open_detector(run)


@pytest.mark.parametrize("content", ["{}", "no JSON", None])
def test_a_damaged_name_of_the_teacher_is_told(run: Path, content: str | None) -> None:
    for folder in (run / FOLDER / "head/probe").iterdir():
        (folder / "teacher.json").unlink()
        if content is not None:
            (folder / "teacher.json").write_text(content)
    with pytest.raises(ValueError, match=r"teacher\.json"):
        open_detector(run)


def test_a_teacher_of_a_file_is_described_by_its_user(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = TeacherUse(teacher="mine", model={"m": "1"}, species=SPECIES)
    for folder in (run / FOLDER / "head/probe").iterdir():
        use.write(folder)
    with pytest.raises(ValueError, match=r"embeddings of mine, .* --teacher FILE\.toml"):
        open_detector(run)
    asked: list[str] = []

    def named(name: str) -> ExternalTeacher:
        asked.append(name)
        return fake({"m": "1"})

    monkeypatch.setattr("birdcore.teachers.teacher_use.teacher_named", named)
    assert open_detector(run, teacher_file="mine.toml").window_s == 2.0
    assert asked == ["mine.toml"]


def test_probes_of_two_teachers_are_refused(run: Path) -> None:
    use = TeacherUse(teacher="mine", model={"file": "2"}, species=SPECIES)
    use.write(run / FOLDER / "head/probe/fold-1")
    with pytest.raises(ValueError, match=r"embeddings of birdnet and of mine, .*ensemble\.members"):
        open_detector(run)


def test_the_teacher_itself_goes_by_its_name_and_another_one_is_left_out(run: Path) -> None:
    unnamed = open_detector(run)
    path = run / FOLDER / ENSEMBLE_FILE
    spec = EnsembleSpec.model_validate_json(path.read_bytes())
    assert '"teacher"' not in path.read_text()
    shares = {"head/probe": 0.75, "own/birdnet": 0.25, "crickets/mine": 1.0}
    named = spec.model_copy(update={"weights": shares, "teacher": "own"})
    path.write_text(named.model_dump_json())
    waves = np.random.default_rng(0).normal(size=(2, 16_000)).astype(np.float32)
    with pytest.warns(UserWarning, match="heard with birdnet alone.*: crickets/mine"):
        detector = open_detector(run)
    np.testing.assert_array_equal(detector.infer(waves)[0], unnamed.infer(waves)[0])


def test_load_model_says_what_predicts_instead(run: Path) -> None:
    with pytest.raises(ValueError, match="birdflow detect"):
        load_model(run)
