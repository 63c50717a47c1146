"""The stage: windows of a teacher over the kept audio, on the time axis of its mel."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from birdcore.audio.trim import Override
from birdcore.config import Clean, Mel
from birdcore.features.shard_reader import read_shards
from birdcore.sources.shards import Shard
from birdcore.stages import clean, mel
from birdcore.stages import external_teacher as stage
from birdcore.stages.training_process import step_from_json, step_to_json
from birdcore.store.artifact import Artifact, Step
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS, teacher_named
from birdcore.teachers.class_mapping import Mapped
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer
from birdcore.teachers.outputs import TeacherOutputs, read_outputs
from tests.support.teacher_files import CLASSES, WIDTH, write_teacher

MadeShard = Callable[..., Shard]
RATE = 8_000
CLEAN = Clean(remove="none", fade_s=0.0)
SPECIES = ("Turdus merula", "Gryllus campestris", "Parus major")


def open_fake(threads: int) -> Infer:
    """Hears the first sample and the last, and the mean as the probability of every class."""

    def hear(waves: Floats) -> tuple[Floats, Floats]:
        ends = np.stack([waves[:, 0], waves[:, -1]], axis=1)
        return np.repeat(waves.mean(axis=1, keepdims=True), 3, axis=1) * [0.0, 1.0, 0.5], ends

    return hear


FAKE = ExternalTeacher(
    name="fake",
    sample_rate=RATE,
    window_s=2.0,
    classes=("Dog", "Parus major", "Turdus merula"),
    width=2,
    files={"fake.bin": "0" * 64},
    credit=Credit("Fake", "nobody", "CC0", "https://example.org", "none"),
    open=open_fake,
)


@pytest.fixture(autouse=True)
def _fake_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEACHERS, "fake", lambda: FAKE)


@pytest.fixture
def cleaned(tmp_path: Path, store: Store, shard_of: MadeShard) -> Callable[..., tuple[Shard, Step]]:
    """A shard of recordings whose samples rise from 0 to 1 in 20 s, cleaned."""

    def make(
        seconds: dict[str, float],
        rate: int = RATE,
        kind: str = "train_audio",
        cuts: dict[str, tuple[Override, ...]] | None = None,
    ) -> tuple[Shard, Step]:
        (tmp_path / kind).mkdir(exist_ok=True)
        for name, duration in seconds.items():
            ramp = np.arange(round(duration * rate)) / rate / 20
            sf.write(tmp_path / kind / name, ramp, rate, subtype="FLOAT")
        shard = shard_of(tmp_path, kind)
        step = clean.step(shard, CLEAN, cuts or {}, tmp_path)
        store.make(step, clean.run)
        return shard, step

    return make


def listen(store: Store, shard: Shard, step: Step, hop_s: float = 1.5) -> Artifact:
    root = Path(step.root)
    return store.make(stage.step(shard, step.ref, FAKE, hop_s, SPECIES, CLEAN, root), stage.run)


def read(artifact: Artifact, *names: str) -> TeacherOutputs:
    return read_outputs([artifact / "heard.parquet"], names)


def test_windows_cover_every_recording_to_its_end(
    store: Store, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    lengths = {"a.wav": 2.0, "b.wav": 5.3, "c.wav": 7.0, "d.wav": 19.99}
    artifact = listen(store, *cleaned(lengths, kind="test_soundscapes"))
    heard = read(artifact, *(f"test_soundscapes/{name}" for name in lengths))
    for row, seconds in enumerate(lengths.values()):
        own = slice(int(heard.first[row]), int(heard.first[row] + heard.count[row]))
        starts, (begin, end) = heard.starts[own].numpy(), heard.embeddings[own].numpy().T * 20.0
        assert starts[0] == 0
        assert (np.diff(starts) <= 1.5 + 1e-9).all()
        np.testing.assert_allclose(starts[-1], seconds - 2)
        np.testing.assert_allclose(begin, starts, atol=0.01)
        np.testing.assert_allclose(end, starts + 2, atol=0.01)
    assert heard.count.tolist() == [1, 4, 5, 13]
    assert artifact.metrics["recordings"] == 4
    assert artifact.metrics["windows"] == 23


@pytest.mark.parametrize("rate", [RATE, 32_000])
def test_cuts_keep_the_time_axis_of_the_mel(
    store: Store, cleaned: Callable[..., tuple[Shard, Step]], rate: int
) -> None:
    name = "train_audio/a.wav"
    cuts = {name: (Override("cut", 3.0, 5.0), Override("cut", 11.0, 12.5))}
    shard, step = cleaned({"a.wav": 16.0}, rate, cuts=cuts)
    heard = read(listen(store, shard, step, hop_s=0.5), name)
    made = store.make(mel.step(shard, step.ref, Mel(), CLEAN, Path(step.root)), mel.run)
    mels = read_shards([made / "mel.parquet"])
    assert heard.starts[-1] + 2 == pytest.approx(12.5)
    assert len(mels.codes) == mels.spec.frames(round(12.5 * mels.spec.sample_rate))
    starts = heard.starts.numpy()
    before = np.where(starts < 3, starts, np.where(starts < 9, starts + 2, starts + 3.5))
    begin = heard.embeddings[:, 0].numpy() * 20.0
    away = np.abs(starts[:, None] - [0, 3, 9]).min(axis=1) > 0.1  # resampling rings at a joint
    np.testing.assert_allclose(begin[away], before[away], atol=0.03)
    assert away.sum() > 15


def test_a_recording_shorter_than_a_window_is_repeated(
    store: Store, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    heard = read(listen(store, *cleaned({"a.wav": 0.75})), "train_audio/a.wav")
    assert heard.starts.tolist() == [0]
    np.testing.assert_allclose(heard.embeddings[0] * 20.0, [0, 0.5], atol=0.01)


def test_probabilities_are_of_known_species_by_name_and_facts_tell_the_others(
    store: Store, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    artifact = listen(store, *cleaned({"a.wav": 2.0}))
    heard = read(artifact, "train_audio/a.wav")
    assert heard.info.species == ("Parus major", "Turdus merula")
    np.testing.assert_allclose(heard.probabilities, [[0.05, 0.025]], rtol=1e-3)
    assert heard.info.credit == FAKE.credit
    assert artifact.metrics["species"] == 2
    assert artifact.metrics["unknown"] == ["Gryllus campestris"]
    assert artifact.metrics["teacher"] == "Fake, CC0"


def test_what_cleaning_rejected_is_not_heard(
    tmp_path: Path, store: Store, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    (tmp_path / "train_audio").mkdir()
    (tmp_path / "train_audio" / "bad.wav").write_text("no sound")
    artifact = listen(store, *cleaned({"a.wav": 3.0}))
    table = pd.read_parquet(artifact / "heard.parquet")
    assert set(table["recording"]) == {"train_audio/a.wav"}


def test_a_shard_of_which_nothing_is_left_joins_others(
    tmp_path: Path, store: Store, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    empty = listen(store, *cleaned({}))
    full = listen(store, *cleaned({"a.wav": 3.0}))
    paths = [artifact / "heard.parquet" for artifact in (empty, full)]
    heard = read_outputs(paths, ["train_audio/a.wav"])
    assert heard.embedding(torch.tensor([0]), torch.tensor([0.0]), 3.0).shape == (1, 2)


def test_its_key_is_made_of_teacher_hop_and_species_in_any_order(tmp_path: Path) -> None:
    shard, ref = Shard("test_soundscapes", 0, (), "test"), Step("clean", 1, "").ref

    def key(hop_s: float = 1.0, species: tuple[str, ...] = SPECIES, sha: str = "0" * 64) -> str:
        teacher = ExternalTeacher(**{**vars(FAKE), "files": {"fake.bin": sha}})
        return stage.step(shard, ref, teacher, hop_s, species, CLEAN, tmp_path).key

    assert key() == key(species=SPECIES[::-1])
    assert len({key(), key(hop_s=2.0), key(species=SPECIES[:2]), key(sha="1" * 64)}) == 4


@pytest.mark.parametrize("hop_s", [0.0, -1.0, 2.1, float("nan")])
def test_a_hop_that_leaves_gaps_is_refused(tmp_path: Path, hop_s: float) -> None:
    shard = Shard("test_soundscapes", 0, (), "test")
    with pytest.raises(ValueError, match="gaps"):
        stage.step(shard, Step("clean", 1, "").ref, FAKE, hop_s, (), CLEAN, tmp_path)


def test_another_version_of_the_model_than_was_planned_with_is_refused(
    store: Store, cleaned: Callable[..., tuple[Shard, Step]], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = ExternalTeacher(**{**vars(FAKE), "files": {"fake.bin": "1" * 64}})
    monkeypatch.setitem(TEACHERS, "fake", lambda: newer)
    with pytest.raises(ValueError, match="not those that were planned with"):
        listen(store, *cleaned({"a.wav": 3.0}))


def test_an_unknown_teacher_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no external teacher is called 'perch': choose birdnet"):
        teacher_named("perch")


def test_mapped_species_have_the_maximum_of_the_teachers_and_metrics_tell_how(
    store: Store, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    shard, step = cleaned({"a.wav": 2.0})
    mapped = {
        "Gryllus campestris": Mapped("synonym", ("Parus major", "Turdus merula")),
        "Cervus elaphus": Mapped("genus", ("Dog",)),  # not asked for
    }
    root = Path(step.root)
    plain = stage.step(shard, step.ref, FAKE, 1.5, SPECIES, CLEAN, root)
    other = stage.step(shard, step.ref, FAKE, 1.5, SPECIES, CLEAN, root, mapped)
    assert plain.key == stage.step(shard, step.ref, FAKE, 1.5, SPECIES, CLEAN, root, {}).key
    assert plain.key != other.key
    artifact = store.make(other, stage.run)
    heard = read(artifact, "train_audio/a.wav")
    assert heard.info.species == ("Gryllus campestris", "Parus major", "Turdus merula")
    np.testing.assert_allclose(heard.probabilities, [[0.05, 0.05, 0.025]], rtol=1e-3)
    assert artifact.metrics["unknown"] == []
    assert artifact.metrics["mapped"] == {
        "Gryllus campestris": "synonym: Parus major, Turdus merula"
    }


def test_a_teacher_of_files_is_found_by_their_places_and_not_keyed_by_them(
    store: Store, tmp_path: Path, cleaned: Callable[..., tuple[Shard, Step]]
) -> None:
    keys = set()
    shard, step = cleaned({"a.wav": 3.0}, rate=16_000)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        teacher = teacher_named(str(write_teacher(tmp_path / name)))
        asked = stage.step(shard, step.ref, teacher, 0.25, SPECIES, CLEAN, Path(step.root))
        keys.add(asked.key)
    assert len(keys) == 1
    artifact = store.make(step_from_json(step_to_json(asked)), stage.run)
    heard = read(artifact, "train_audio/a.wav")
    assert heard.embeddings.shape == (11, WIDTH)
    assert heard.embeddings.dtype == torch.float16
    assert heard.info.species == ("Gryllus campestris", "Parus major", "Turdus merula")
    assert 0 <= heard.probabilities.min() < heard.probabilities.max() <= 1
    assert heard.info.credit.license == "CC BY-NC 4.0"
    assert artifact.metrics["teacher"] == "Cosines, CC BY-NC 4.0"
    (tmp_path / "there" / "labels.txt").write_text("\n".join(CLASSES[::-1]))
    with pytest.raises(ValueError, match="the files of cosines here are not those"):
        store.make(asked, stage.run, refresh=True)
