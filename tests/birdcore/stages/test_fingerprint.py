"""The stage that fingerprints a shard: every recording that can be decoded, as it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from birdcore.audio.decode import decode
from birdcore.audio.fingerprints import fingerprint, gather, read_fingerprints
from birdcore.sources.shards import Shard
from birdcore.stages import fingerprint as stage
from birdcore.store.store import Store

MadeShard = Callable[..., Shard]


def test_fingerprint_covers_each_whole_recording(
    shared_data: Path, store: Store, shard_of: MadeShard
) -> None:
    mini = shared_data / "birdclef-mini"
    names = [p.relative_to(mini).as_posix() for p in sorted(mini.glob("train_audio/amered/*"))[:2]]
    shard = shard_of(mini, "train_audio", names)
    artifact = store.make(stage.step(shard, mini), stage.run)
    found = read_fingerprints([artifact / "fingerprints.parquet"])
    heard = {name: decode(mini / name) for name in names}
    whole = gather({name: fingerprint(a.blocks(), a.rate) for name, a in heard.items()})
    assert found.recordings == whole.recordings == tuple(names)
    for field in ("bounds", "hashes", "frames"):
        np.testing.assert_array_equal(getattr(found, field), getattr(whole, field))
    assert artifact.metrics == {"recordings": 2, "landmarks": len(whole.hashes)}


def test_fingerprint_skips_what_cannot_be_decoded(
    tmp_path: Path, store: Store, shard_of: MadeShard
) -> None:
    folder = tmp_path / "xeno_canto"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(size=48_000) / 9
    sf.write(folder / "XC1.wav", noise, 24_000)
    (folder / "XC2.wav").write_text("no sound")
    (folder / "XC3.wav").write_bytes(b"")
    artifact = store.make(stage.step(shard_of(tmp_path, "xeno_canto"), tmp_path), stage.run)
    assert read_fingerprints([artifact / "fingerprints.parquet"]).recordings == (
        "xeno_canto/XC1.wav",
    )
    assert artifact.metrics["recordings"] == 1
    assert artifact.metrics["landmarks"] > 10


def test_fingerprint_of_no_recordings_is_read_with_others(
    tmp_path: Path, store: Store, shard_of: MadeShard
) -> None:
    artifact = store.make(stage.step(shard_of(tmp_path, "xeno_canto"), tmp_path), stage.run)
    assert read_fingerprints([artifact / "fingerprints.parquet"]).recordings == ()


def test_fingerprint_key_depends_on_the_recordings_only(
    tmp_path: Path, shard_of: MadeShard
) -> None:
    for root in (tmp_path / "one", tmp_path / "two"):
        (root / "xeno_canto").mkdir(parents=True)
        (root / "xeno_canto/XC1.wav").write_text("sound")
    one, two = (stage.step(shard_of(r, "xeno_canto"), r) for r in sorted(tmp_path.iterdir()))
    assert one.ref == two.ref
    (tmp_path / "two/xeno_canto/XC1.wav").write_text("other")
    assert stage.step(shard_of(tmp_path / "two", "xeno_canto"), tmp_path).ref != one.ref
