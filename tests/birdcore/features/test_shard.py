"""Shards: nothing is lost, nothing comes twice, the order is kept."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.features.mel import MelSpec
from birdcore.features.scale import Codes, Scale
from birdcore.features.shard import BLOCK_FRAMES, ROW_GROUP, ShardWriter
from birdcore.features.shard_reader import Mels, MelShard, read_shards

SPEC = MelSpec(n_mels=4)
lengths = st.one_of(
    st.integers(1, 5 * BLOCK_FRAMES),
    st.sampled_from([BLOCK_FRAMES, 2 * BLOCK_FRAMES, ROW_GROUP * BLOCK_FRAMES + 1]),
)


def frames_of(array: Mels, recording: str) -> Codes:
    """The codes (T, F) of one recording."""
    r = array.recordings.index(recording)
    return array.codes[array.starts[r] : array.starts[r + 1]]


def random_codes(frames: int, rng: np.random.Generator, dtype: str = "uint8") -> Codes:
    return rng.integers(0, 256, (frames, SPEC.n_mels)).astype(dtype)


def write(path: Path, mels: dict[str, Codes], scale: Scale, spec: MelSpec = SPEC) -> Path:
    with ShardWriter(path, spec, scale) as shard:
        for i, (recording, codes) in enumerate(mels.items()):
            shard.write(recording, np.array_split(codes, 1 + i % 3), peak=0.5 + i)
    return path


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(lengths, max_size=6), min_size=1, max_size=3),
    st.sampled_from(["uint8", "float16"]),
)
def test_read_shards_gives_what_was_written(shards: list[list[int]], dtype: str) -> None:
    rng = np.random.default_rng(0)
    scale = Scale(dtype=dtype)
    mels = [
        {f"r{s}-{i}": random_codes(n, rng, dtype) for i, n in enumerate(shard)}
        for s, shard in enumerate(shards)
    ]
    with TemporaryDirectory() as folder:
        read = read_shards(
            [write(Path(folder) / f"{s}.parquet", m, scale) for s, m in enumerate(mels)]
        )
    written = {name: codes for shard in mels for name, codes in shard.items()}
    assert read.recordings == tuple(written)
    assert (read.spec, read.scale) == (SPEC, scale)
    assert read.starts.dtype == np.int64
    assert read.codes.dtype == dtype
    assert read.codes.flags.c_contiguous
    assert len(read.codes) == read.starts[-1] == sum(map(len, written.values()))
    for name, codes in written.items():
        np.testing.assert_array_equal(frames_of(read, name), codes)
        assert np.shares_memory(frames_of(read, name), read.codes)
    np.testing.assert_array_equal(read.peaks, [0.5 + i for m in mels for i in range(len(m))])


@settings(deadline=None, max_examples=50)
@given(st.lists(lengths, min_size=1, max_size=6), st.data())
def test_part_is_a_slice_of_the_recording(shard: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    mels = {f"r{i}": random_codes(n, rng) for i, n in enumerate(shard)}
    with TemporaryDirectory() as folder:
        stored = MelShard.open(write(Path(folder) / "a.parquet", mels, Scale()))
        assert stored.lengths.tolist() == shard
        for name, codes in mels.items():
            at = stored.index[name]
            first = data.draw(st.integers(0, len(codes) - 1))
            stop = data.draw(st.integers(first + 1, len(codes)))
            np.testing.assert_array_equal(stored.part(at, first, stop), codes[first:stop])
            np.testing.assert_array_equal(np.concatenate(list(stored.parts(at, 300))), codes)


def test_shard_writer_writes_plain_parquet(tmp_path: Path) -> None:
    codes = random_codes(2 * BLOCK_FRAMES + 3, np.random.default_rng(0))
    path = write(tmp_path / "a.parquet", {"XC1": codes, "XC2": codes[:5]}, Scale())
    rows = pq.read_table(path).to_pylist()
    assert [(r["recording"], r["block"], r["frames"]) for r in rows] == [
        ("XC1", 0, BLOCK_FRAMES),
        ("XC1", 1, BLOCK_FRAMES),
        ("XC1", 2, 3),
        ("XC2", 0, 5),
    ]
    assert rows[2]["codes"] == codes[-3:].tobytes().ljust(BLOCK_FRAMES * 4, b"\0")
    column = pq.ParquetFile(path).metadata.row_group(0).column(4)
    assert column.path_in_schema == "codes"
    assert column.compression == "UNCOMPRESSED"
    assert not column.has_dictionary_page
    assert not column.is_stats_set


def test_read_shards_accepts_an_empty_shard(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.parquet", {}, Scale())
    mels = read_shards([empty])
    assert mels.codes.shape == (0, SPEC.n_mels)
    assert mels.starts.tolist() == [0]
    codes = random_codes(7, np.random.default_rng(0))
    full = write(tmp_path / "full.parquet", {"XC1": codes}, Scale())
    np.testing.assert_array_equal(
        frames_of(read_shards([empty, full]), "XC1"),
        codes,
    )


def test_read_shards_refuses_shards_that_disagree(tmp_path: Path) -> None:
    codes = random_codes(7, np.random.default_rng(0))
    a = write(tmp_path / "a.parquet", {"XC1": codes}, Scale())
    b = write(tmp_path / "b.parquet", {"XC2": codes}, Scale(), SPEC.model_copy(update={"power": 1}))
    c = write(tmp_path / "c.parquet", {"XC2": codes}, Scale(floor_db=-80.0))
    d = write(tmp_path / "d.parquet", {"XC1": codes}, Scale())
    with pytest.raises(ValueError, match=r"a\.parquet and .*b\.parquet .*power 2 and 1"):
        read_shards([a, b])
    with pytest.raises(ValueError, match=r"c\.parquet .*floor_db -70\.0 and -80\.0"):
        read_shards([a, c])
    with pytest.raises(ValueError, match=r"'XC1' is in .*a\.parquet and in .*d\.parquet"):
        read_shards([a, d])
    with pytest.raises(ValueError, match="no mel shards"):
        read_shards([])


def test_read_shards_refuses_other_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {}, Scale())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"a\.parquet is not a mel shard"):
        read_shards([path])
    table = pq.read_table(write(path, {}, Scale())).replace_schema_metadata({})
    pq.write_table(table, path, store_schema=False)
    with pytest.raises(ValueError, match=r"a\.parquet is not a mel shard"):
        read_shards([path])


def test_shard_writer_refuses_wrong_codes_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    codes = random_codes(7, np.random.default_rng(0))
    with ShardWriter(path, SPEC, Scale()) as shard:
        shard.write("XC1", [codes], 1.0)
        with pytest.raises(ValueError, match="write it once"):
            shard.write("XC1", [codes], 1.0)
        with pytest.raises(ValueError, match="'XC2' have no frame"):
            shard.write("XC2", [codes[:0]], 1.0)
        with pytest.raises(ValueError, match=r"shape \(7, 3\)"):
            shard.write("XC2", [codes[:, :3]], 1.0)
        with pytest.raises(ValueError, match="are float16, but the scale is uint8"):
            shard.write("XC2", [codes.astype(np.float16)], 1.0)
    assert read_shards([path]).recordings == ("XC1",)

    def fail() -> None:
        with ShardWriter(path, SPEC, Scale()) as shard:
            shard.write("XC1", [codes], 1.0)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert not path.exists()
