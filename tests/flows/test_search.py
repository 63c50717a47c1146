"""`birdflow search`: what sounds like a clip, of a folder or of a run, and its review."""

import csv
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.config import Clean
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.stages import clean, external_teacher
from birdcore.stages.embedding_index import NAME
from birdcore.store.files import file_sha256
from birdcore.store.run_records import run_request
from birdcore.store.runs import recorded
from birdcore.store.store import Store
from birdcore.teachers import TEACHERS
from birdcore.teachers.external_teacher import Credit, ExternalTeacher, Floats, Infer
from flows.cli import main
from flows.result_folder import write_results_to
from flows.search import heard_by_run
from tests.support.browser import Tab
from tests.support.review import served

RATE = 8_000
CREDIT = Credit("Fake", "nobody", "CC0", "https://example.org", "none")
Run = Callable[..., list[dict[str, str]]]
Until = Callable[..., None]


class Listener:
    """A teacher that counts what it hears; embeddings are coarse spectra."""

    def __init__(self, version: str = "1") -> None:
        self.windows = 0
        self.teacher = ExternalTeacher(
            "birdnet", RATE, 2.0, ("Dog",), 16, {"f": version}, CREDIT, self.open
        )

    def open(self, threads: int) -> Infer:
        def hear(waves: Floats) -> tuple[Floats, Floats]:
            self.windows += len(waves)
            bins = np.abs(np.fft.rfft(waves, axis=1))[:, 1:8001].reshape(len(waves), 16, -1)
            return np.abs(waves).max(axis=1, keepdims=True), np.log1p(bins.sum(axis=2))

        return hear


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    made = Listener()
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: made.teacher)
    return made


def tone(path: Path, hz: float, seconds: float = 8.0, from_s: float = 0.0) -> Path:
    """Faint noise with a tone of two seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    at = np.arange(round(seconds * RATE)) / RATE
    inside = (at >= from_s) & (at < from_s + 2)
    noise = np.random.default_rng(0).normal(0, 1e-3, len(at))
    sf.write(path, noise + 0.4 * np.sin(2 * np.pi * hz * at) * inside, RATE)
    return path


@pytest.fixture
def folder(tmp_path: Path, listener: Listener) -> Path:
    """Recordings with a tone each; a text that is called a recording."""
    for number, hz in enumerate((500, 1500, 2500, 3500)):
        tone(tmp_path / "sounds" / "site" / f"{hz}.wav", hz, from_s=number * 1.5)
    (tmp_path / "sounds" / "text.wav").write_text("no sound")
    return tmp_path / "sounds"


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> list[dict[str, str]]:
        assert main(["search", *map(str, words)]) == 0
        with (tmp_path / "nearest.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return run


def test_a_folder_is_heard_once_and_new_recordings_alone(
    folder: Path,
    tmp_path: Path,
    listener: Listener,
    search: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = tone(tmp_path / "clip.wav", 2500, 2.0)
    rows = search(clip, "--in", folder, "--label", "buzz", "--top", 3)
    assert (Path(rows[0]["File"]).name, rows[0]["Start (s)"]) == ("2500.wav", "3.0")
    assert rows[0]["class"] == "buzz"
    said = capsys.readouterr()
    assert "text.wav" in said.err
    assert "birdflow review nearest.csv --choose rare" in said.out
    before = listener.windows
    assert search(clip, "--in", folder, "--label", "buzz", "--top", 3) == rows
    assert listener.windows == before + 1  # the clip
    tone(folder / "new.wav", 2500)
    again = search(clip, "--in", folder, "--top", 1)
    assert {Path(row["File"]).name for row in again} <= {"new.wav", "2500.wav"}
    assert again[0]["class"] == "like clip"
    assert listener.windows == before + 2 + 5


def test_a_damaged_index_is_made_again_and_said(
    folder: Path, tmp_path: Path, search: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tone(tmp_path / "clip.wav", 500, 2.0)
    rows = search(clip, "--in", folder)
    (file,) = (tmp_path / "store" / NAME).glob("*/signs.npy")
    file.write_bytes(file.read_bytes()[:-8])
    capsys.readouterr()
    assert search(clip, "--in", folder) == rows
    assert "note: the index is damaged, and is made again" in capsys.readouterr().err


@pytest.fixture
def run(folder: Path, tmp_path: Path, listener: Listener) -> Path:
    """The results of a run whose teacher has heard the folder."""
    return heard_by([listener.teacher], folder, tmp_path)


def heard_by(
    teachers: Sequence[ExternalTeacher],
    folder: Path,
    tmp_path: Path,
    hops_s: Sequence[float] = (2.0,),
) -> Path:
    names = [f"site/{hz}.wav" for hz in (500, 1500, 2500, 3500)]
    files = tuple(SourceFile(name, 1, file_sha256(folder / name)) for name in names)
    shard = Shard("train_soundscapes", 0, files, "unlabelled")
    test = Shard("test_soundscapes", 0, files[:1], "test")
    store, steps = Store(tmp_path / "store"), []
    for part in (shard, test):
        cleaned = clean.step(part, Clean(), {}, folder)
        store.make(cleaned, clean.run)
        steps.append(cleaned)
        for teacher, hop_s in product(teachers, hops_s):
            heard = external_teacher.step(part, cleaned.ref, teacher, hop_s, (), Clean(), folder)
            store.make(heard, external_teacher.run)
            steps.append(heard)
    out = tmp_path / "out"
    write_results_to(out, {"model/classes.csv": "class,common_name\nbuz,Bush Cricket\n"})
    with recorded(store, run_request("gone.toml", folder, out), steps):
        pass
    return out


def test_a_run_is_searched_without_hearing_it(
    run: Path, tmp_path: Path, listener: Listener, search: Run
) -> None:
    before = listener.windows
    clip = tone(tmp_path / "clip.wav", 1500, 2.0)
    rows = search(clip, "--in", run, "--label", "bush cricket")
    assert listener.windows == before + 1
    assert Path(rows[0]["File"]).name == "1500.wav"
    assert (rows[0]["class"], rows[0]["Common name"]) == ("buz", "Bush Cricket")
    assert len({(row["File"], row["Start (s)"]) for row in rows}) == len(rows) == 16


def test_of_several_teachers_the_one_that_is_named_is_searched(
    folder: Path,
    tmp_path: Path,
    listener: Listener,
    search: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owl = replace(listener.teacher, name="owl", files={"f": "owl"})
    monkeypatch.setitem(TEACHERS, "owl", lambda: owl)
    run = heard_by([listener.teacher, owl], folder, tmp_path)
    clip = tone(tmp_path / "clip.wav", 1500, 2.0)
    assert main(["search", str(clip), "--in", str(run)]) == 1
    assert "birdnet and owl have heard its recordings" in capsys.readouterr().err
    monkeypatch.setitem(TEACHERS, "wren", lambda: replace(owl, name="wren", files={"f": "wren"}))
    assert main(["search", str(clip), "--in", str(run), "--teacher", "wren"]) == 1
    assert "heard by birdnet and owl, and not by wren" in capsys.readouterr().err
    for name in ("birdnet", "owl"):
        rows = search(clip, "--in", run, "--teacher", name)
        assert Path(rows[0]["File"]).name == "1500.wav"
        assert {row["model"] for row in rows} == {f"nearest by {name}"}
        assert len(rows) == 16


def test_of_a_model_with_two_hops_the_smallest_that_is_there_is_searched(
    folder: Path, tmp_path: Path, listener: Listener
) -> None:
    run = heard_by([listener.teacher], folder, tmp_path, (2.0, 1.0))
    store = Store(tmp_path / "store")

    def hops_s() -> list[float]:
        return [
            store.get(ref).manifest.config["hop_s"] for ref, _ in heard_by_run(store, run).roots
        ]

    assert hops_s() == [1.0, 1.0]  # of the soundscapes and of the test
    shutil.rmtree(store.path(next(iter(heard_by_run(store, run).roots))[0]))
    assert sorted(hops_s()) == [1.0, 2.0]


def test_refusals_are_of_one_line(
    run: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = tone(tmp_path / "clip.wav", 1500, 2.0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.csv").write_text("a,b\n")
    (tmp_path / "silent" / "a.wav").parent.mkdir()
    (tmp_path / "silent" / "a.wav").write_text("no sound")
    capsys.readouterr()
    for words, message in (
        (["gone.wav", "--in", folder], "gone.wav: there is no such file"),
        ([clip, "--in", tmp_path / "gone"], "is neither a run's results folder nor a folder"),
        ([clip, "--in", folder, "--out", "mine.csv"], "mine.csv is no list of birdflow search"),
        ([clip, "--in", folder, "--out", "new/a.csv"], "new/a.csv: there is no folder new: make"),
        ([clip, "--in", folder, "--out", "empty"], "empty is a folder: give a file as --out"),
        ([clip, "--in", folder, "--start", 5], "clip.wav: lasts 2.00 s: give --start and --end"),
        ([clip, "--in", folder, "--teacher", "owl"], "no external teacher is called 'owl'"),
        ([clip, "--in", tmp_path / "empty"], "no recording is in it"),
        ([clip, "--in", tmp_path / "silent"], "no recording in it can be heard: a.wav: "),
        ([clip, "--in", run, "--store", tmp_path / "empty"], "is not a store"),
    ):
        assert main(["search", *map(str, words)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    other = Listener("2")
    monkeypatch.setitem(TEACHERS, "birdnet", lambda: other.teacher)
    assert main(["search", str(clip), "--in", str(run)]) == 1
    assert "the files of birdnet here are not those" in capsys.readouterr().err
    assert not (tmp_path / "nearest.csv").exists()


def test_a_list_of_real_recordings_is_reviewed_in_a_browser(
    shared_data: Path, tmp_path: Path, listener: Listener, search: Run, tab: Tab, until: Until
) -> None:
    sounds = tmp_path / "day"
    sounds.mkdir()
    day = sorted((shared_data / "field" / "recorder-day").iterdir())[:3]
    for path in day:
        shutil.copyfile(path, sounds / path.name)
    rows = search(day[1], "--in", sounds, "--start", 2, "--end", 4, "--label", "wren", "--top", 5)
    assert rows[0]["File"] == str(sounds / day[1].name)
    with served(tmp_path / "nearest.csv", 0, "--choose", "rare") as (process, address):
        tab.open(address)
        until(lambda: tab.value("document.getElementById('picture').naturalWidth > 100"))
        assert tab.value("document.getElementById('name').textContent") == "wren"
        assert day[1].name in tab.value("document.getElementById('place').textContent")
        tab.press("y")
        until(lambda: tab.value("document.getElementById('count').textContent") == "1 of 5")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    with (tmp_path / "verdicts" / "ana.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["label_type"]) == ("wren", "positive")
