"""The nearest embeddings, against all cosines."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.audio.resample import resample
from birdcore.detection.events import window_starts_s
from birdcore.teachers import nearest, teacher_named
from birdcore.teachers.external_teacher import windows
from birdcore.teachers.nearest import Nearest, write_nearest


def written(folder: Path, embeddings: np.ndarray, parts: int = 3) -> Nearest:
    pieces = np.array_split(embeddings.astype(np.float16), parts)
    write_nearest(folder, pieces, *embeddings.shape)
    return Nearest.open(folder)


def exact(embeddings: np.ndarray, wanted: np.ndarray, most: int) -> list[int]:
    lengths = np.linalg.norm(embeddings, axis=1).clip(1e-9)
    cosines = embeddings @ wanted / lengths / np.linalg.norm(wanted)
    return np.argsort(-cosines, kind="stable")[:most].tolist()


def clusters(count: int, width: int = 96) -> np.ndarray:
    """Sounds of some kinds, more and less alike, as numbers that are never negative."""
    rng = np.random.default_rng(0)
    kinds = rng.gamma(0.4, size=(20, width))
    spread = rng.gamma(0.4, size=(count, width)) * rng.uniform(0.1, 0.9, (count, 1))
    return (kinds[rng.integers(0, 20, count)] + spread).astype(np.float32)


def test_few_embeddings_are_compared_exactly(tmp_path: Path) -> None:
    embeddings = clusters(500, 70)  # no multiple of 64
    index = written(tmp_path, embeddings)
    rows, cosines = index.to(embeddings[7] * 9, 40)
    stored = index.embeddings[:].astype(np.float32)
    assert rows.tolist() == exact(stored, stored[7], 40)
    assert rows[0] == 7
    assert cosines[0] == pytest.approx(1, abs=1e-3)
    assert (np.diff(cosines) <= 0).all()


def recall(index: Nearest, embeddings: np.ndarray, most: int = 10) -> float:
    wanted = embeddings[:: max(1, len(embeddings) // 50)]
    found = [set(index.to(one, most)[0].tolist()) for one in wanted]
    true = [exact(embeddings, one, most) for one in wanted]
    hits = [len(one & set(other)) for one, other in zip(found, true, strict=True)]
    return sum(hits) / (most * len(wanted))


def test_of_many_almost_all_of_the_nearest_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "SHORTLIST", 200)
    monkeypatch.setattr(nearest, "ROWS", 1000)
    embeddings = clusters(5000, 512)
    assert recall(written(tmp_path, embeddings), embeddings) >= 0.95


def test_of_real_recordings_as_birdnet_hears_them(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = teacher_named("birdnet")
    infer, embeddings = teacher.open(1), []
    for path in sorted((shared_data / "birdclef-mini" / "test_soundscapes").iterdir())[:2]:
        samples, rate = sf.read(path, dtype="float32")
        samples = resample(samples, rate, teacher.sample_rate)
        starts = window_starts_s(len(samples) / teacher.sample_rate, 3.0, 2.0)
        for batch in windows([samples], len(samples), starts, teacher):
            embeddings.append(infer(batch)[1])
    together = np.concatenate(embeddings).astype(np.float16).astype(np.float32)
    monkeypatch.setattr(nearest, "SHORTLIST", 40)  # of 116
    monkeypatch.setattr(nearest, "PER_ANSWER", 4)
    assert recall(written(tmp_path, together), together) >= 0.95


def test_the_same_embeddings_are_the_same_bytes_however_they_come(tmp_path: Path) -> None:
    embeddings = clusters(300)
    for parts in (1, 7):
        (tmp_path / str(parts)).mkdir()
        written(tmp_path / str(parts), embeddings, parts)
    for name in (nearest.EMBEDDINGS, nearest.MEDIANS, nearest.SIGNS):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "7" / name).read_bytes()


def test_silence_is_like_nothing(tmp_path: Path) -> None:
    embeddings = clusters(5)
    embeddings[2] = 0
    rows, cosines = written(tmp_path, embeddings).to(embeddings[0], 5)
    assert (rows[-1], cosines[-1]) == (2, 0)
