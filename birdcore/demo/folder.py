"""The demo's BirdCLEF+ folder: written once, whole or not at all, the same for the same settings.

    train.csv  taxonomy.csv  train_audio/<label>/DEMO000123.ogg
    train_soundscapes/D000_20250601_050000.ogg                      (unlabelled)
    test_soundscapes/D012_20250602_050000.ogg  test_soundscapes_labels.csv  sample_submission.csv
    demo.json                                                       (the settings)

Every recording and soundscape has a generator of its own, so no bird is in two of them, and more
recordings leave the earlier ones as they were.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf

from birdcore.demo.recording import RECORDISTS, focal_recording
from birdcore.demo.song import SPECIES, Samples, Species
from birdcore.demo.soundscape import WINDOW_S, Event, soundscape, windows

RATE = 32000
VERSION = 1  # of the formulas: raise it when the sound of a seed changes
BIRDS = 5  # birds in a soundscape, or more where not all species would sing
BACKGROUND = 0.25  # share of recordings with a second bird behind
BLOCK = 10 * RATE  # libsndfile's Vorbis encoder can crash on one very long write


@dataclass(frozen=True)
class DemoSettings:
    """What decides the folder's content."""

    seed: int = 0
    species: int = 8
    recordings_per_species: int = 8
    unlabelled: int = 12
    test: int = 6
    soundscape_s: int = 60

    def __post_init__(self) -> None:
        if not 2 <= self.species <= len(SPECIES):
            raise ValueError(f"species={self.species}: the demo knows 2 to {len(SPECIES)} species")
        for name in ("recordings_per_species", "unlabelled", "test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: ask for 1 or more")
        if self.soundscape_s < WINDOW_S or self.soundscape_s % WINDOW_S:
            raise ValueError(
                f"soundscape_s={self.soundscape_s}: ask for a multiple of {WINDOW_S} seconds"
            )
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: ask for 0 or more")


@dataclass(frozen=True)
class DemoSoundscape:
    stem: str
    samples: Samples
    events: list[Event]


def write_folder(root: Path, settings: DemoSettings = DemoSettings()) -> None:
    """Write the demo under `root`, or leave it when these settings are there already.

    Raises ValueError when `root` holds anything else.
    """
    root = root.absolute()
    if _is_finished(root, settings):
        return
    making = root.with_name(f".{root.name}.{os.getpid()}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        _write(making, settings)
        making.rename(root)
    except OSError:
        if not _is_finished(root, settings):  # else another process was faster
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def soundscapes(settings: DemoSettings, split: str) -> Iterator[DemoSoundscape]:
    """The soundscapes of a split, "unlabelled" or "test", one after another."""
    first, count, day = {
        "unlabelled": (0, settings.unlabelled, 1),
        "test": (settings.unlabelled, settings.test, 2),
    }[split]
    for k, singers in enumerate(_singers(settings, split, count)):
        stem = f"D{first + k:03d}_2025060{day}_{(5 + k) % 24:02d}0000"
        samples, events = soundscape(
            singers, _generator(settings, split, k), settings.soundscape_s, RATE
        )
        yield DemoSoundscape(stem, samples, events)


def _is_finished(root: Path, settings: DemoSettings) -> bool:
    """Whether `root` is this demo; raises ValueError when it is something else."""
    if not root.exists():
        return False
    if root.is_dir() and not any(root.iterdir()):
        return False
    card = root / "demo.json"
    if card.is_file() and card.read_text() == _card(settings):
        return True
    what = "a demo of other settings" if card.is_file() else "something that is not the demo"
    raise ValueError(f"{root} holds {what}: remove it, or name another folder for the demo")


def _card(settings: DemoSettings) -> str:
    return json.dumps({"version": VERSION, **asdict(settings)}, indent=2) + "\n"


def _generator(settings: DemoSettings, part: str, index: int) -> np.random.Generator:
    key = {"train": 0, "unlabelled": 1, "test": 2, "cast": 3}[part]
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(key, index)))


def _singers(settings: DemoSettings, split: str, count: int) -> list[list[Species]]:
    """Who sings in each soundscape: shuffled species are dealt in turn, so that each sings."""
    generator = _generator(settings, "cast", ("unlabelled", "test").index(split))
    each = max(BIRDS, -(-settings.species // count))
    rounds = -(-count * each // settings.species)
    dealt = np.concatenate([generator.permutation(settings.species) for _ in range(rounds)])
    return [[SPECIES[k] for k in dealt[i * each : (i + 1) * each]] for i in range(count)]


def _write(root: Path, settings: DemoSettings) -> None:
    species = SPECIES[: settings.species]
    labels = sorted(each.label for each in species)
    _write_csv(
        root / "taxonomy.csv",
        ["primary_label", "inat_taxon_id", "scientific_name", "common_name", "class_name"],
        sorted([s.label, "", s.scientific_name, s.common_name, "Aves"] for s in species),
    )
    _write_csv(root / "train.csv", TRAIN_COLUMNS, _write_recordings(root, species, settings))
    for scene in soundscapes(settings, "unlabelled"):
        _write_ogg(root / "train_soundscapes" / f"{scene.stem}.ogg", scene.samples)
    truth: list[list[object]] = []
    for scene in soundscapes(settings, "test"):
        _write_ogg(root / "test_soundscapes" / f"{scene.stem}.ogg", scene.samples)
        truth += _rows(scene.stem, windows(scene.events, labels, settings.soundscape_s))
    _write_csv(root / "test_soundscapes_labels.csv", ["row_id", *labels], truth)
    uniform = [[row[0], *[1 / len(labels)] * len(labels)] for row in truth]
    _write_csv(root / "sample_submission.csv", ["row_id", *labels], uniform)
    (root / "demo.json").write_text(_card(settings))


TRAIN_COLUMNS = (
    "primary_label", "secondary_labels", "type", "filename", "collection", "rating", "url",
    "latitude", "longitude", "scientific_name", "common_name", "author", "license",
)  # fmt: skip


def _write_recordings(
    root: Path, species: Sequence[Species], settings: DemoSettings
) -> Iterator[list[object]]:
    """Write `train_audio` and yield the rows of train.csv."""
    for k in range(settings.species * settings.recordings_per_species):
        bird = species[k // settings.recordings_per_species]
        generator = _generator(settings, "train", k)
        recordist = RECORDISTS[generator.integers(len(RECORDISTS))]
        others = [other for other in species if other != bird]
        drawn = others[generator.integers(len(others))]
        second = drawn if generator.random() < BACKGROUND else None
        seconds = float(generator.uniform(8.0, 25.0))
        samples, snr_db = focal_recording(bird, second, recordist, generator, seconds, RATE)
        name = f"{bird.label}/DEMO{k:06d}.ogg"
        _write_ogg(root / "train_audio" / name, samples)
        yield [
            bird.label, [second.label] if second else [], ["song"], name, "DEMO",
            round(2 * (2 + snr_db / 10)) / 2,
            f"https://example.org/demo/{k}", recordist.latitude, recordist.longitude,
            bird.scientific_name, bird.common_name, recordist.name, "cc0",
        ]  # fmt: skip


def _rows(stem: str, truth: npt.NDArray[np.bool_]) -> list[list[object]]:
    return [
        [f"{stem}_{WINDOW_S * (k + 1)}", *row] for k, row in enumerate(truth.astype(int).tolist())
    ]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_ogg(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sf.SoundFile(path, "w", RATE, 1, format="OGG", subtype="VORBIS") as file:
        for at in range(0, len(samples), BLOCK):
            file.write(samples[at : at + BLOCK])
