from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdcore.sources.shards import MOST, Ledger, Shard, assign, shards
from birdcore.sources.source import SourceFile, Subset
from birdcore.store.artifact import Step
from birdcore.store.store import Store

CONTENTS = st.integers(0, 12).map(str)
# Paths are unique, contents may repeat.
FILES = st.dictionaries(st.text("abc/", min_size=1, max_size=4), CONTENTS, max_size=14).map(
    lambda found: [SourceFile(path, 1, sha) for path, sha in found.items()]
)


def subset(files: Iterable[SourceFile], name: str = "train_audio") -> Subset:
    return Subset(name, "labelled", tuple(files))


def numbers(found: list[Shard]) -> dict[str, int]:
    """The shard of each content."""
    return {file.sha256: shard.number for shard in found for file in shard.files}


@settings(deadline=None)
@given(FILES, FILES, st.integers(1, 5), st.integers(1, 5))
def test_nothing_is_lost_nothing_is_there_twice_and_known_contents_stay(
    before: list[SourceFile], after: list[SourceFile], size: int, later_size: int
) -> None:
    ledger: Ledger = {}
    first = assign(ledger, subset(before), size)
    known = dict(ledger)
    second = assign(ledger, subset(after), later_size)
    for files, found in ((before, first), (after, second)):
        assert sorted(f.path for s in found for f in s.files) == sorted(f.path for f in files)
        assert [s.number for s in found] == sorted({s.number for s in found})
        for shard in found:
            assert shard.files == tuple(sorted(shard.files, key=lambda f: f.path))
    # One content is in one shard, whatever its names.
    for found in (first, second):
        contents = [sha for s in found for sha in {f.sha256 for f in s.files}]
        assert len(contents) == len(set(contents))
    assert known.items() <= ledger.items()
    assert all(numbers(second)[sha] == known["train_audio", sha]
               for sha in numbers(second) if ("train_audio", sha) in known)  # fmt: skip
    # New contents come into shards that no known one is in, and fill all but the last.
    new = {sha: n for sha, n in numbers(second).items() if ("train_audio", sha) not in known}
    assert set(new.values()).isdisjoint(known.values())
    sizes = [list(new.values()).count(n) for n in sorted(set(new.values()))]
    assert all(count == later_size for count in sizes[:-1])
    assert all(1 <= count <= later_size for count in sizes)


@settings(deadline=None)
@given(FILES, st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(files, size, random) -> None:  # type: ignore[no-untyped-def]
    mixed = random.sample(files, len(files))
    assert assign({}, subset(files), size) == assign({}, subset(mixed), size)


def test_kinds_have_shards_of_their_own() -> None:
    ledger: Ledger = {}
    file = [SourceFile("a", 1, "same")]
    assert [s.name for s in assign(ledger, subset(file), 4)] == ["train_audio/0000"]
    assert [s.name for s in assign(ledger, subset(file, "test_soundscapes"), 4)] == [
        "test_soundscapes/0000"
    ]


def test_a_number_is_not_given_again_when_its_recordings_are_gone() -> None:
    ledger: Ledger = {}
    assign(ledger, subset([SourceFile("a", 1, "gone")]), 4)
    (shard,) = assign(ledger, subset([SourceFile("b", 1, "new")]), 4)
    assert shard.number == 1


def audio(*contents: str) -> list[Subset]:
    files = tuple(SourceFile(f"train_audio/{c}.ogg", 1, c) for c in contents)
    others = [Subset("train_soundscapes", "unlabelled"), Subset("test_soundscapes", "test")]
    return [Subset("train_audio", "labelled", files), *others]


@pytest.mark.parametrize(("count", "size", "made"), [(MOST * 2, 2, MOST), (MOST * 40 + 1, 4, 250)])
def test_many_recordings_make_larger_shards_and_not_more(count: int, size: int, made: int) -> None:
    files = [SourceFile(f"{at:06}.ogg", 1, f"{at:064x}") for at in range(count)]
    shards = assign({}, subset(files), size)
    assert len(shards) == made
    assert sum(len(shard.files) for shard in shards) == count


def test_the_ledger_is_kept_when_asked_for_and_only_then(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shards(audio("b", "c"), store, 2, keep=False)
    assert not (tmp_path / "shards.parquet").exists()
    shards(audio("b", "c"), store, 2, keep=True)
    # "a" comes first by name, but the others are where they were.
    found = shards(audio("a", "b", "c"), store, 2, keep=False)["train_audio"]
    assert numbers(found) == {"b": 0, "c": 0, "a": 1}
    assert found[0].files == audio("b", "c")[0].files


def parquet(**columns: object) -> bytes:
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), file)
    return bytes(file.getvalue().to_pybytes())


INT = pa.int32()
BROKEN = {
    "nothing": b"",
    "no parquet": b"no parquet",
    "magic alone": b"PAR1PAR1",
    "other columns": parquet(a=[1], b=["x"]),
    "a column more": parquet(
        kind=["train_audio"], sha256=["a"], shard=pa.array([0], INT), more=[1]
    ),
    "text for numbers": parquet(kind=["train_audio"], sha256=["a"], shard=["0"]),
    "numbers for text": parquet(kind=[1], sha256=["a"], shard=pa.array([0], INT)),
    "lists": parquet(kind=[["train_audio"]], sha256=["a"], shard=pa.array([0], INT)),
    "empty cells": parquet(kind=["train_audio"], sha256=["a"], shard=pa.array([None], INT)),
    "below 0": parquet(kind=["train_audio"], sha256=["a"], shard=pa.array([-1], INT)),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_ledger_is_set_aside_and_begun_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    (tmp_path / "shards.parquet").write_bytes(content)
    assert numbers(shards(audio("a"), store, 1, keep=False)["train_audio"]) == {"a": 0}
    assert (tmp_path / "shards.parquet").read_bytes() == content  # a plan changes nothing
    found = shards(audio("a", "b"), store, 1, keep=True)["train_audio"]
    assert numbers(found) == {"a": 0, "b": 1}
    (aside,) = tmp_path.glob("shards.damaged-*.parquet")
    assert aside.read_bytes() == content
    assert f"a run sets it aside as {aside.name}" in caplog.text
    caplog.clear()
    assert numbers(shards(audio("b"), store, 1, keep=False)["train_audio"]) == {"b": 1}
    assert not caplog.text


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1), st.integers(0, 7), st.booleans())
def test_a_ledger_with_a_wrong_bit_or_cut_is_never_an_error(at: float, bit: int, cut: bool) -> None:
    with TemporaryDirectory() as folder:
        store, path = Store(Path(folder)), Path(folder, "shards.parquet")
        shards(audio(*map(str, range(50))), store, 3, keep=True)
        content = bytearray(path.read_bytes())
        place = min(int(at * len(content)), len(content) - 1)
        content[place] ^= 1 << bit
        path.write_bytes(content[:place] if cut else content)
        found = shards(audio(*map(str, range(60))), store, 3, keep=True)["train_audio"]
        assert sorted(f.sha256 for s in found for f in s.files) == sorted(map(str, range(60)))


@pytest.mark.parametrize("lost", ["gone", "damaged"])
def test_recordings_of_a_lost_ledger_keep_the_shards_they_were_cleaned_in(
    tmp_path: Path, lost: str
) -> None:
    store = Store(tmp_path)
    known = shards(audio("d", "e"), store, 1, keep=True)["train_audio"]
    known += shards(audio("a", "d", "e"), store, 9, keep=True)["train_audio"][2:]
    for shard in known:
        files = {file.path: file.sha256 for file in shard.files}
        store.make(Step("clean", 1, f"clean {shard.name}", files=files), lambda job: {})
    odd = store.make(Step("clean", 2, "clean up"), lambda job: {})
    (odd.folder / "manifest.json").write_text("[" * 100_000)
    if lost == "gone":
        (tmp_path / "shards.parquet").unlink()
    else:
        (tmp_path / "shards.parquet").write_bytes(b"PAR1")
    found = shards(audio("a", "b", "d", "e"), store, 1, keep=True)["train_audio"]
    assert numbers(found) == {"d": 0, "e": 1, "a": 2, "b": 3}
