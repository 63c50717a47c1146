"""The stage that finds the competition's recordings in a collection, on real ones of both."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from birdcore.sources.duplicates import Leak
from birdcore.sources.shards import Shard
from birdcore.sources.source import SourceFile
from birdcore.sources.tables import read_tables
from birdcore.stages import fingerprint, leaks
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.files import file_sha256
from birdcore.store.store import Store

Listed = list[tuple[str, str]]

IN_TRAIN_AUDIO = {
    "XC536958",
    "XC551255",
    "XC551285",
    "XC551306",
    "XC551505",
    "XC551507",
    "XC551514",
}
IN_SOUNDSCAPES = {
    "XC551346": "train_soundscapes/S040",
    "XC551347": "test_soundscapes/T005",
    "XC551353": "test_soundscapes/T021",
    "XC551398": "test_soundscapes/T022",
    "XC551444": "test_soundscapes/T022",
    "XC551468": "train_soundscapes/S004",
}
"""Found by correlating samples, not by landmarks: .88 or more over .75 s."""
SAME_AIR = {
    "XC551320": "yerwar/XC551520",
    "XC551435": "yerwar/XC551520",
    "XC551392": "woewar1/XC551261",
}
"""Other birds over the same background, which a publisher laid under both (correlation .9)."""


def shard(root: Path, kind: str, paths: Iterable[Path]) -> Shard:
    names = {path.relative_to(root).as_posix(): path for path in paths}
    return Shard(kind, 0, tuple(SourceFile(n, 0, file_sha256(p)) for n, p in names.items()))


def fingerprints(store: Store, root: Path, part: Shard) -> Ref:
    return store.make(fingerprint.step(part, root), fingerprint.run).ref


def found(
    store: Store, root: Path, part: Shard, data: Path, known: Sequence[Shard], urls: Listed
) -> Artifact:
    competition = tuple(fingerprints(store, data, one) for one in known)
    files = [file for one in known for file in one.files]
    step = leaks.step(part, fingerprints(store, root, part), competition, files, urls)
    return store.make(step, leaks.run)


def rows(artifact: Artifact) -> list[dict[str, str]]:
    return pd.read_parquet(artifact / "leaks.parquet").to_dict("records")


@pytest.fixture
def listed(shared_data: Path) -> Listed:
    """What train.csv says of the competition's real recordings."""
    train = read_tables(shared_data / "birdclef-mini").train
    names = "train_audio/" + train["filename"]
    return list(zip(names, train["url"], strict=True))


def test_real_leaks_are_caught_with_their_ids_changed_and_nothing_else_is(
    shared_data: Path, store: Store, tmp_path: Path, listed: Listed
) -> None:
    mini = shared_data / "birdclef-mini"
    paths = sorted((mini / "train_audio").rglob("*.ogg"))
    wanted = IN_TRAIN_AUDIO | {Path(name).name for name in SAME_AIR.values()}
    soundscapes = [next(mini.glob(f"{name}_*.ogg")) for name in set(IN_SOUNDSCAPES.values())]
    known = [
        shard(
            mini, "train_audio", [p for i, p in enumerate(paths) if p.stem in wanted or not i % 10]
        ),
        *(shard(mini, "train_soundscapes", [path]) for path in soundscapes),
    ]
    leaking = IN_TRAIN_AUDIO | IN_SOUNDSCAPES.keys()
    (tmp_path / "recordings").mkdir()
    name_of: dict[str, str] = {}
    for i, path in enumerate(sorted((shared_data / "xeno-canto/audio").iterdir())):
        if path.stem in leaking | SAME_AIR.keys() or not i % 10:
            link = tmp_path / "recordings" / f"XC{i + 1}{path.suffix}"
            link.symlink_to(path)
            name_of[f"recordings/{link.name}"] = path.stem
    part = shard(tmp_path, "xeno_canto", sorted((tmp_path / "recordings").iterdir()))
    artifact = found(store, tmp_path, part, mini, known, listed)
    pairs = {(name_of[row["recording"]], row["same_as"]) for row in rows(artifact)}
    assert {source for source, _ in pairs} == leaking
    for source, target in pairs:
        assert Path(target).stem == source or "soundscapes" in target
    assert artifact.metrics == {
        "recordings": len(leaking), "id": 0, "content": 0, "audio": len(pairs)
    }  # fmt: skip


def test_real_ids_of_the_competition_are_known_before_anything_is_heard(
    shared_data: Path, listed: Listed
) -> None:
    names = sorted(p.name for p in (shared_data / "xeno-canto/audio").iterdir())
    files = tuple(SourceFile(f"recordings/{name}", 0, name) for name in names)
    sound = Ref("fingerprint", "0")
    step = leaks.step(Shard("xeno_canto", 0, files), sound, (), (), listed)
    told = step.config["found"]
    assert {Path(recording).stem for recording, *_ in told} == IN_TRAIN_AUDIO
    for recording, same_as, why, evidence in told:
        assert same_as.startswith("train_audio/")
        assert Path(recording).stem == Path(same_as).stem == evidence
        assert why == "id"


def noise(path: Path, seed: int, seconds: float = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).normal(size=round(seconds * 24_000)) / 9
    sf.write(path, samples, 24_000)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A collection of three recordings, and a competition of two: its first is the second."""
    collection, data = tmp_path / "collection", tmp_path / "data"
    for number in (1, 2, 3):
        noise(collection / f"recordings/XC{number}.wav", number)
    noise(data / "train_audio/a.wav", 2)
    noise(data / "train_audio/b.wav", 9)
    return collection, data


def both(folders: tuple[Path, Path]) -> tuple[Shard, Shard]:
    collection, data = folders
    return (
        shard(collection, "xeno_canto", sorted((collection / "recordings").iterdir())),
        shard(data, "train_audio", sorted((data / "train_audio").iterdir())),
    )


def test_a_recording_may_be_known_by_id_content_and_sound(
    store: Store, folders: tuple[Path, Path]
) -> None:
    part, known = both(folders)
    urls = [("train_audio/b.wav", "https://xeno-canto.org/3"), ("train_audio/gone.ogg", "")]
    artifact = found(store, folders[0], part, folders[1], [known], urls)
    assert [(r["recording"], r["same_as"], r["why"]) for r in rows(artifact)] == [
        ("recordings/XC3.wav", "train_audio/b.wav", "id"),
        ("recordings/XC2.wav", "train_audio/a.wav", "content"),
        ("recordings/XC2.wav", "train_audio/a.wav", "audio"),
    ]
    assert artifact.metrics == {"recordings": 2, "id": 1, "content": 1, "audio": 1}


def test_where_nothing_leaks_the_table_has_the_same_columns(
    store: Store, folders: tuple[Path, Path]
) -> None:
    part, known = both(folders)
    for one in (Shard("xeno_canto", 0, part.files[:1]), Shard("xeno_canto", 1, ())):
        artifact = found(store, folders[0], one, folders[1], [known], [])
        assert rows(artifact) == []
        assert pq.read_schema(artifact / "leaks.parquet").names == list(Leak._fields)


def test_what_does_not_concern_a_shard_is_no_part_of_its_key(folders: tuple[Path, Path]) -> None:
    part, known = both(folders)
    sound = Ref("fingerprint", "0")

    def key(urls: Listed, files: Sequence[SourceFile] = ()) -> str:
        return leaks.step(part, sound, (), files, urls).key

    assert key([]) == key([("train_audio/c.ogg", "https://xeno-canto.org/77")])
    assert key([]) == key([], known.files[1:])
    assert key([]) != key([("train_audio/c.ogg", "https://xeno-canto.org/1")])
    assert key([]) != key([], known.files[:1])
