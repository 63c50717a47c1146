"""The stage: what was heard, with its place in the recordings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from birdcore.audio.trim import Override
from birdcore.config import Clean
from birdcore.sources.shards import Shard
from birdcore.stages import clean, external_teacher
from birdcore.stages import embedding_index as stage
from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer
from birdcore.teachers.nearest import Nearest

RATE = 8_000
CLEAN = Clean(remove="none", fade_s=0.0)
MadeShard = Callable[..., Shard]


def open_fake(threads: int) -> Infer:
    def hear(waves: Floats) -> tuple[Floats, Floats]:
        return waves[:, :1], np.stack([waves[:, 0], 1 - waves[:, 0]], axis=1)

    return hear


def fake(sha256: str) -> ExternalTeacher:
    credit = Credit("Fake", "nobody", "CC0", "https://example.org", "none")
    return ExternalTeacher("fake", RATE, 2.0, ("Dog",), 2, {"f": sha256}, credit, open_fake)


@pytest.fixture
def heard(
    tmp_path: Path, store: Store, shard_of: MadeShard, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Ref, Ref]]:
    """Outputs and cleaning of a recording of 12 s whose samples rise from 0 to .6."""

    def make(kind: str, cuts: tuple[Override, ...] = (), sha256: str = "0") -> tuple[Ref, Ref]:
        teacher = fake(sha256)
        monkeypatch.setitem(TEACHERS, "fake", lambda: teacher)
        (tmp_path / kind).mkdir(exist_ok=True)
        sf.write(tmp_path / kind / "a.wav", np.arange(12 * RATE) / RATE / 20, RATE, "FLOAT")
        shard = shard_of(tmp_path, kind)
        cleaned = clean.step(shard, CLEAN, {f"{kind}/a.wav": cuts} if cuts else {}, tmp_path)
        store.make(cleaned, clean.run)
        step = external_teacher.step(shard, cleaned.ref, teacher, 2.0, (), CLEAN, tmp_path)
        store.make(step, external_teacher.run)
        return step.ref, cleaned.ref

    return make


def test_windows_are_where_they_are_in_the_recording(
    store: Store, heard: Callable[..., tuple[Ref, Ref]]
) -> None:
    whole, cut = heard("train_soundscapes"), heard("train_audio", (Override("cut", 3.0, 7.0),))
    index = store.make(stage.step([whole, cut]), stage.run)
    table = pq.read_table(index / stage.WINDOWS).to_pandas()
    place = {ref: number for number, (ref, _) in enumerate(sorted([whole, cut]))}
    of_cut = table[table["part"] == place[cut[0]]]
    assert of_cut[["start", "end"]].values.tolist() == [[0, 2], [7, 8], [8, 10], [10, 12]]
    assert set(of_cut["recording"]) == {"train_audio/a.wav"}
    of_whole = table[table["part"] == place[whole[0]]]
    assert of_whole["start"].tolist() == [0, 2, 4, 6, 8, 10]
    assert index.metrics == {"recordings": 2, "windows": 10, "width": 2}
    rows, _ = Nearest.open(index.folder).to(np.float32([0.3, 0.7]), 1)
    assert table.iloc[rows[0]][["recording", "start"]].tolist() == ["train_soundscapes/a.wav", 6]


def test_its_key_names_what_it_holds(heard: Callable[..., tuple[Ref, Ref]]) -> None:
    one, two = heard("train_soundscapes"), heard("train_audio")
    assert stage.step([one, two]).key == stage.step([two, one]).key != stage.step([one]).key


def test_two_teachers_have_no_index(store: Store, heard: Callable[..., tuple[Ref, Ref]]) -> None:
    pairs = [heard("train_soundscapes"), heard("train_audio", sha256="1")]
    with pytest.raises(ValueError, match="embeddings of different teachers can't be compared"):
        store.make(stage.step(pairs), stage.run)
