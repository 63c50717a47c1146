"""Both kinds of model: what they find, and how they are opened and named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.audio.decode import Audio, Rejected, decode
from birdcore.detection.events import Events, find_events, window_events, window_peaks
from birdcore.detection.models import TeacherDetector, TrainedDetector, open_detector
from birdcore.detection.settings import DetectSettings, Selection, select
from birdcore.detection.table import Species
from birdcore.features.codes_file import FiledRecording
from birdcore.features.mel import MelSpec
from birdcore.inference.predict import predict_recording
from birdcore.inference.trained_model import ENSEMBLE_FILE, EnsembleSpec, TrainedModel, encoded
from birdcore.inference.window_batches import Recording
from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats
from tests.support.guano import write_guano
from tests.support.teacher_files import CLASSES, SECONDS, write_teacher

RATE = 32_000
CREDIT = Credit("Loudness", "nobody", "CC0", "", "")


def audio_of(folder: Path, seconds: float, seed: int = 0) -> Audio:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE))
    samples *= 0.1 * np.sin(np.arange(len(samples)) / 9_000)
    sf.write(folder / f"{seed}.wav", samples, RATE)
    return decode(folder / f"{seed}.wav")


def equal(one: Events, other: Events) -> bool:
    return all(
        np.allclose(getattr(one, name), getattr(other, name))
        for name in ("start_s", "end_s", "label", "confidence")
    )


@pytest.fixture
def ensemble(store: Store, model_of: Callable[..., Ref], tmp_path: Path) -> Path:
    """A folder of two members, which blend by rank as a run may have decided."""
    folder = tmp_path / "out" / "model"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / name).symlink_to(store.get(model_of(len(name) + ord(name[0]))).folder)
    spec = EnsembleSpec(
        blend="rank", weights={"x/one": 0.75, "x/two": 0.25},
        members={"x/one": ("one",), "x/two": ("two",)},
    )  # fmt: skip
    (folder / ENSEMBLE_FILE).write_text(spec.model_dump_json())
    (folder / "classes.csv").write_text(
        "class,scientific_name,common_name\nb,Turdus merula,Eurasian Blackbird\n"
    )
    return tmp_path / "out"


def mean_cells(model: TrainedModel, audio: Audio) -> tuple[np.ndarray, int, float]:
    """Probabilities (cells, K) of an ensemble of two, their number, and how many a second."""
    predict = model.spec.predict
    recording = Recording(encoded("x", audio.blocks, audio.rate, model.input_spec))
    one, two = (
        np.concatenate(list(predict_recording(each, recording, predict.step_s, predict.output)))
        for each in model.members.values()
    )
    return 0.75 * one + 0.25 * two, recording.cells.count, recording.cells.rate


def test_ensemble_finds_events_of_several_recordings(ensemble: Path, tmp_path: Path) -> None:
    detector = open_detector(ensemble)
    assert isinstance(detector, TrainedDetector)
    assert detector.species[1] == Species("b", "Turdus merula", "Eurasian Blackbird")
    audios = [audio_of(tmp_path, seconds, seed) for seed, seconds in enumerate((23.0, 0.1, 11.0))]
    prepared = [detector.prepare("x", audio) for audio in audios]
    expected = [mean_cells(detector.model, audio) for audio in audios]
    threshold = float(np.quantile(np.concatenate([cells for cells, *_ in expected]), 0.7))
    settings = DetectSettings(min_conf=threshold)
    selection = select(settings, detector.species, None)
    found = list(detector.events(iter(prepared), selection))
    assert sum(map(len, found)) > 5
    for events, audio, (cells, _, rate) in zip(found, audios, expected, strict=True):
        assert equal(events, find_events([cells], rate, audio.duration_s, threshold))

    windows = settings.model_copy(update={"segment_s": 5.0, "overlap_s": 1.0})
    found = list(detector.events(iter(prepared), select(windows, detector.species, None)))
    for events, audio, (cells, count, rate) in zip(found, audios, expected, strict=True):
        peaks = window_peaks([cells], count, rate, audio.duration_s, 5.0, 1.0)
        assert equal(events, window_events([peaks], 5.0, audio.duration_s, threshold))


def test_how_far_a_model_is_within_a_recording_is_told(
    ensemble: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdcore.inference.predict.CELLS_AT_ONCE", 16)
    detector, audio = open_detector(ensemble), audio_of(tmp_path, 25.0)
    selection = select(DetectSettings(), detector.species, None)
    said: list[float] = []
    list(detector.events([detector.prepare("x", audio)], selection, said.append))
    assert len(said) > 3
    assert said == sorted(said)
    assert said[-1] == pytest.approx(25.0, abs=0.5)

    monkeypatch.setattr("birdcore.teachers.external_teacher.BATCH", 2)
    teacher = TeacherDetector(TEACHER, loudest, "key", (Species("a", "a", "a"),) * 2)
    said.clear()
    list(
        teacher.events(
            [teacher.prepare("x", audio)],
            select(DetectSettings(), teacher.species, 3.0),
            said.append,
        )
    )
    assert said == sorted(said)
    assert len(said) == 5
    assert said[-1] == 25.0


def test_long_recording_is_detected_from_a_file(
    ensemble: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, audio = open_detector(ensemble), audio_of(tmp_path, 25.0)
    selection = select(DetectSettings(min_conf=0.4), detector.species, None)
    (in_memory,) = detector.events([detector.prepare("x", audio)], selection)
    monkeypatch.setattr("birdcore.detection.models.LONG_S", 20.0)
    prepared = detector.prepare("x", audio)
    assert isinstance(prepared.soundscapes, FiledRecording)
    (filed,) = detector.events([prepared], selection)
    assert isinstance(in_memory, Events)
    assert isinstance(filed, Events)
    assert len(filed) > 0
    assert equal(filed, in_memory)


def test_slowed_recordings_are_detected_in_their_own_seconds(
    store: Store, model_of: Callable[..., Ref], tmp_path: Path
) -> None:
    spec = MelSpec(n_mels=32, channels="loudest", speed=4.0, speed_from="file")
    detector = open_detector(store.get(model_of(spec=spec, frames=100)).folder)
    samples = np.random.default_rng(0).standard_normal((6 * RATE, 2)) * [0.01, 0.1]
    samples *= np.sin(np.arange(len(samples)) / 9_000)[:, None]
    write_guano(tmp_path / "slow.wav", samples, RATE // 4, "GUANO|Version: 1.0\nTE: 4")
    write_guano(tmp_path / "direct.wav", samples, RATE, "GUANO|Version: 1.0\nTE: 1")
    slow, direct = (
        detector.prepare(name, decode(tmp_path / name, detector.reading))
        for name in ("slow.wav", "direct.wav")
    )
    assert (slow.cells.duration_s, direct.cells.duration_s) == (24.0, 6.0)
    selection = select(DetectSettings(min_conf=0.3), detector.species, None)
    of_slow, of_direct = detector.events([slow, direct], selection)
    assert len(of_direct) > 0
    assert of_slow.end_s.max() == 4 * of_direct.end_s.max()


def test_only_classes_that_are_asked_for_are_found(ensemble: Path, tmp_path: Path) -> None:
    detector = open_detector(ensemble)
    prepared = detector.prepare("x", audio_of(tmp_path, 12.0))
    for top_n in (0, 2):
        settings = DetectSettings(
            min_conf=1e-6, segment_s=3, top_n=top_n, classes=("c", "unheard of")
        )
        (events,) = detector.events([prepared], select(settings, detector.species, None))
        assert set(events.label) == {2}
        assert len(events) == 4
    with pytest.raises(ValueError, match="none of the classes"):
        select(DetectSettings(classes=("d",)), detector.species, None)


def test_key_is_of_the_content_alone(
    ensemble: Path, store: Store, model_of: Callable[..., Ref], tmp_path: Path
) -> None:
    key = open_detector(ensemble).key
    ensemble.rename(tmp_path / "moved")
    assert open_detector(tmp_path / "moved" / "model").key == key
    keys = {open_detector(store.get(model_of(seed)).folder).key for seed in (1, 1, 2)}
    assert len(keys | {key}) == 3


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no model is at nowhere: give a run's .*birdnet"):
        open_detector("nowhere")
    with pytest.raises(ValueError, match="holds no model: give a run's results folder"):
        open_detector(tmp_path)


def loudest(waves: Floats) -> tuple[Floats, Floats]:
    peak = np.abs(waves).max(axis=1)
    return np.stack([peak, peak / 10], axis=1), np.zeros((len(waves), 1), np.float32)


TEACHER = ExternalTeacher(
    "fake", 8_000, 3.0, ("Turdus merula", "Parus major"), 1, {"file": "sha"}, CREDIT,
    lambda threads: loudest, ("Eurasian Blackbird", "Great Tit"),
)  # fmt: skip


def teacher_events(audio: Audio, settings: DetectSettings) -> Events | Rejected:
    detector = TeacherDetector(TEACHER, loudest, "key", (Species("a", "a", "a"),) * 2)
    selection: Selection = select(settings, detector.species, detector.window_s)
    (found,) = detector.events([detector.prepare("x", audio)], selection)
    return found


def test_teacher_finds_windows_of_its_own_length(tmp_path: Path) -> None:
    samples = np.zeros(8_000 * 10)
    samples[8_000 * 4] = samples[8_000 * 9] = 0.9
    sf.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    audio = decode(tmp_path / "a.wav")
    found = teacher_events(audio, DetectSettings(min_conf=0.5))
    assert isinstance(found, Events)
    # Of 10 s the last window begins 3 s before the end.
    assert found.start_s.tolist() == [3.0, 7.0]
    assert found.end_s.tolist() == [6.0, 10.0]
    overlapping = teacher_events(audio, DetectSettings(min_conf=0.5, overlap_s=2.0))
    assert isinstance(overlapping, Events)
    assert overlapping.start_s.tolist() == [2.0, 3.0, 4.0, 7.0]


def test_long_recording_that_changes_under_a_teacher_is_rejected(tmp_path: Path) -> None:
    audio = audio_of(tmp_path, 4.0)
    detector = TeacherDetector(TEACHER, loudest, "key", (Species("a", "a", "a"),) * 2)
    waves = detector.prepare("x", audio)

    def changed() -> None:
        raise Rejected("changed while it was read")

    selection = select(DetectSettings(), detector.species, 3.0)
    found = list(detector.events([waves._replace(blocks=changed), waves], selection))
    assert str(found[0]) == "changed while it was read"
    assert isinstance(found[1], Events)


def test_teacher_has_common_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEACHERS, "fake", lambda: TEACHER)
    assert open_detector("fake").species[1] == Species("Parus major", "Parus major", "Great Tit")
    nameless = replace(TEACHER, common_names=())
    monkeypatch.setitem(TEACHERS, "fake", lambda: nameless)
    assert open_detector("fake").species[1].common_name == "Parus major"


def test_a_description_is_opened_by_its_path(tmp_path: Path) -> None:
    path = write_teacher(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(f"{name}_The {name}" for name in CLASSES))
    detector = open_detector(path, threads=1)
    assert isinstance(detector, TeacherDetector)
    assert detector.window_s == SECONDS
    assert detector.species[1] == Species("Turdus merula", "Turdus merula", "The Turdus merula")
    key = detector.key
    path.write_text(path.read_text() + "slope = 2\n")
    assert open_detector(path, threads=1).key != key
    path.unlink()
    with pytest.raises(ValueError, match=r"cosines\.toml: there is no such description"):
        open_detector(path)
