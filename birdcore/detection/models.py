"""What finds events in recordings: a trained ensemble, an external teacher as it is (zero-shot), or
one with a head of our own (`probes.py`).

Both are opened by a name and do their work in two steps. `prepare` decodes a recording and makes
the model's input of it, in any thread and ahead of the model; `events` runs the model on several
of them, in one thread. Both read a recording in blocks, so that a day takes no more memory than an
hour.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from birdcore.audio.blocks import Blocks, cache_blocks
from birdcore.audio.decode import Audio, Rejected
from birdcore.audio.reading import AS_IT_IS, Reading
from birdcore.audio.resample import resample_recording
from birdcore.detection.calibration import Calibration, read_calibration
from birdcore.detection.events import (
    Events,
    Floats,
    Windows,
    find_events,
    window_events,
    window_peaks,
    window_starts_s,
)
from birdcore.detection.probes import probe_teacher
from birdcore.detection.settings import Selection
from birdcore.detection.species_list import read_classes
from birdcore.detection.table import Species
from birdcore.detection.threads import default_threads
from birdcore.inference.engine import AUTO
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.inference.predict import predict_cells
from birdcore.inference.trained_model import (
    ENSEMBLE_FILE,
    MODEL_FILES,
    EnsembleSpec,
    TrainedModel,
    encoded,
    encoded_in_file,
    load_model,
    model_folder,
    read_ensemble,
)
from birdcore.inference.window_batches import Recording, RecordingCells
from birdcore.models.sed import WEIGHTS_FILE
from birdcore.store.files import file_sha256
from birdcore.teachers import TEACHERS, ExternalTeacher, is_teacher, teacher_named
from birdcore.teachers.external_teacher import Infer, windows

KEY_DIGITS = 12
LONG_S = 2 * 3600
"""Seconds from which a recording's codes, 8 KB a second, are in a file while they are read."""
Prepared = TypeVar("Prepared")
Heard: TypeAlias = Callable[[float], None]
"""Is told seconds of a recording, as far as the model has heard it."""


def no_progress(seconds: float) -> None:
    """Tells nobody."""


class Detector(Protocol[Prepared]):
    """A model that finds events in recordings."""

    @property
    def key(self) -> str:
        """Names the model by its content: with the settings, it decides what is found."""

    @property
    def reading(self) -> Reading:
        """How files are read for it."""

    @property
    def species(self) -> tuple[Species, ...]:
        """Its classes (K,)."""

    @property
    def window_s(self) -> float | None:
        """The only length of fixed windows that it knows; None where it knows any, or events."""

    @property
    def calibration(self) -> Calibration | None:
        """What held-out recordings say of its confidences, where there were any."""

    def prepare(self, name: str, audio: Audio) -> Prepared:
        """Its input of one recording; raises Rejected where that can't be read any more."""

    def events(
        self, recordings: Iterable[Prepared], selection: Selection, heard: Heard = no_progress
    ) -> Iterator[Events | Rejected]:
        """What is found in each recording, in order; or why it can't be read any more.

        Recordings are taken a little ahead of what is given back. `heard` is told how many seconds
        the model has heard of the one whose events come next.
        """


@dataclass(frozen=True)
class TrainedDetector:
    """Our models: framewise probabilities of the blended ensemble."""

    model: TrainedModel
    key: str
    species: tuple[Species, ...]
    calibration: Calibration | None = None
    window_s: float | None = None

    @property
    def reading(self) -> Reading:
        return self.model.input_spec.mel.reading

    def prepare(self, name: str, audio: Audio) -> Recording:
        encode = encoded if audio.duration_s < LONG_S else encoded_in_file
        reads = self.model.input_spec.at_speed(audio.speed)
        codes = encode(name, audio.blocks, audio.true_rate, reads)
        return Recording(codes, exact_s=audio.duration_s)

    def events(
        self, recordings: Iterable[Recording], selection: Selection, heard: Heard = no_progress
    ) -> Iterator[Events]:
        weights, predict = self.model.spec.as_probabilities(), self.model.spec.predict
        members = list(self.model.members.values())
        for cells, blocks in predict_cells(members, recordings, predict.step_s, predict.output):
            blended = (
                weights.blended(dict(zip(self.model.members, block, strict=True)))
                for block in blocks
            )
            yield _cell_events(cells, _told(blended, cells.rate, heard), selection)


class Waves(NamedTuple):
    """One recording at a teacher's rate: blocks, how many samples, and seconds."""

    blocks: Blocks
    samples: int
    duration_s: float


@dataclass(frozen=True)
class TeacherDetector:
    """An external teacher: probabilities of windows of its own length."""

    teacher: ExternalTeacher
    infer: Infer
    key: str
    species: tuple[Species, ...]
    calibration: Calibration | None = None
    reading: Reading = AS_IT_IS

    @property
    def window_s(self) -> float:
        return self.teacher.window_s

    def prepare(self, name: str, audio: Audio) -> Waves:
        resampled = resample_recording(audio.blocks, audio.rate, self.teacher.sample_rate)
        blocks = cache_blocks(resampled)
        return Waves(blocks, sum(map(len, blocks())), audio.duration_s)

    def events(
        self, recordings: Iterable[Waves], selection: Selection, heard: Heard = no_progress
    ) -> Iterator[Events | Rejected]:
        for waves in recordings:
            try:
                peaks = self._peaks(waves, selection.settings.overlap_s, heard)
                found = _window_events(peaks, self.window_s, waves.duration_s, selection)
            except (Rejected, OSError) as error:  # a long recording is decoded once more
                yield error if isinstance(error, Rejected) else Rejected(str(error))
            else:
                yield found

    def _peaks(self, waves: Waves, overlap_s: float, heard: Heard) -> Windows:
        starts = window_starts_s(waves.duration_s, self.window_s, overlap_s)
        # A window that would reach over the end is taken from before it.
        begins = np.minimum(starts, max(waves.duration_s - self.window_s, 0.0))
        first = 0
        for batch in windows(waves.blocks(), waves.samples, starts, self.teacher):
            probabilities, _ = self.infer(batch)
            yield begins[first : first + len(batch)], probabilities
            first += len(batch)
            heard(min(float(begins[first - 1]) + self.window_s, waves.duration_s))


def _told(blocks: Iterable[Floats], rate: float, heard: Heard) -> Iterator[Floats]:
    """Blocks (cells, K) of so many cells a second; `heard` has the seconds of those before."""
    cells = 0
    for block in blocks:
        yield block
        cells += len(block)
        heard(cells / rate)


def _cell_events(cells: RecordingCells, blocks: Iterable[Floats], selection: Selection) -> Events:
    """Events of one recording from its probabilities (cells, K), in blocks."""
    rate, duration_s = cells.rate, cells.duration_s
    settings, window_s = selection.settings, selection.segment_s
    if window_s is not None:
        peaks = window_peaks(blocks, cells.count, rate, duration_s, window_s, settings.overlap_s)
        return _window_events([peaks], window_s, duration_s, selection)
    asked = (block[:, selection.classes] for block in blocks)
    thresholds = selection.thresholds[selection.classes]
    events = find_events(asked, rate, duration_s, thresholds, settings.events)
    return replace(events, label=selection.classes[events.label])


def _window_events(
    peaks: Windows, window_s: float, duration_s: float, selection: Selection
) -> Events:
    """Events of one recording from probabilities (W, K) of its windows."""
    settings = selection.settings
    asked = ((starts, block[:, selection.classes]) for starts, block in peaks)
    thresholds = selection.thresholds[selection.classes]
    events = window_events(
        asked, window_s, duration_s, thresholds, settings.top_n, settings.merge_consecutive
    )
    return replace(events, label=selection.classes[events.label])


def open_detector(
    model: str | Path, threads: int = 0, engine: str = AUTO, teacher_file: str | None = None
) -> Detector[Any]:
    """A model by the folder that it lies in, or a teacher by its name or description.

    Args:
        model: A run's results folder, an exported bundle, a folder of one model, a teacher's
            name, `birdnet`, or the path of a TOML file that describes one.
        threads: How many cores it takes; 0: a trained model all, a teacher `default_threads()`.
        engine: What runs a trained model, see `birdcore.inference.engine`.
        teacher_file: The TOML that describes the teacher of a run of probes, where its file is the
            user's.

    Raises:
        ValueError: There is no such model, or the teacher is not installed or does not fit.
    """
    folder = Path(model)
    if is_teacher(str(model)) and not folder.is_dir():
        teacher = teacher_named(str(model))
        names = teacher.common_names or teacher.classes
        pairs = zip(teacher.classes, names, strict=True)
        species = tuple(Species(scientific, scientific, common) for scientific, common in pairs)
        return TeacherDetector(
            teacher, teacher.open(threads or default_threads()), _key(teacher.files), species
        )
    if not folder.is_dir():
        raise ValueError(
            f"no model is at {model}: give a run's results folder (its --out), a bundle that "
            f"`birdflow export` wrote, a folder with {', '.join(MODEL_FILES)}, or "
            f"{' or '.join(TEACHERS)}, or the path of a teacher's description (.toml)"
        )
    of_run = model_folder(folder)
    if (of_run / ENSEMBLE_FILE).is_file():
        spec = read_ensemble(of_run)
        if spec.probes and not spec.members:
            return _probe_detector(of_run, spec, threads, teacher_file)
    trained = load_model(folder, engine, threads)
    folder = of_run
    species = read_classes(folder, trained.classes)
    calibration = read_calibration(folder, trained.classes)
    return TrainedDetector(trained, model_key(folder, trained.spec), species, calibration)


def _probe_detector(
    folder: Path, spec: EnsembleSpec, threads: int, teacher_file: str | None
) -> TeacherDetector:
    teacher = probe_teacher(folder, spec, teacher_file)
    calibration = read_calibration(folder, teacher.classes)
    species = read_classes(folder, teacher.classes)
    files = {
        f"{name}/{file.name}": file_sha256(file)
        for names in spec.probes.values()
        for name in names
        for file in sorted((folder / name).iterdir())
    }
    key = _key({**files, **teacher.files, "ensemble": spec.model_dump_json()})
    infer = teacher.open(threads or default_threads())
    return TeacherDetector(teacher, infer, key, species, calibration)


def model_key(folder: Path, spec: EnsembleSpec) -> str:
    """Names an ensemble by its content: the weights of its members and all files of its models."""
    files: dict[str, str] = {}
    for model in (name for models in spec.members.values() for name in models):
        names = set(MODEL_FILES)
        if not (folder / model / WEIGHTS_FILE).is_file():  # a bundle has the export alone
            names = names - {WEIGHTS_FILE} | {ONNX_FILE}
        files |= {f"{model}/{name}": file_sha256(folder / model / name) for name in names}
    return _key(files | {"ensemble": spec.model_dump_json()})


def _key(files: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name} {files[name]}" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:KEY_DIGITS]
