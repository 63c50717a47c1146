"""A million windows to search: bytes, time to build, and time, memory and recall of a search.

Embeddings are those of a store's external teacher; where there are fewer than asked for, the others
lie between two real ones, with noise of a tenth of their length, so that near ones are as near as
overlapping windows are. Searched for are real ones with noise, against the cosines of all windows.
CPU seconds are of this process, whatever else the machine does. With usearch installed (it is no
part of birdflow) its graph is built of some of them too.

python -m benchmarks.search STORE [WINDOWS [GRAPH_WINDOWS]]
"""

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.peak import peak_mb
from birdcore.teachers.nearest import EMBEDDINGS, MEDIANS, SIGNS, Nearest, unit, write_nearest
from birdcore.teachers.outputs import read_embeddings

WINDOWS, GRAPH = 1_000_000, 20_000
QUERIES, MOST = 50, 100
PART = 10_000
NOISE = 0.1


def real(store: Path) -> NDArray[np.float32]:
    """The embeddings (N, D) of a store, each once."""
    files = sorted(store.glob("external_teacher/*/heard.parquet"))
    together = np.concatenate([read_embeddings(file)[2] for file in files])
    return unit(np.unique(together, axis=0).astype(np.float32))


def noisy(embeddings: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(embeddings.shape, np.float32)
    return np.maximum(embeddings + NOISE * unit(noise), 0)


def parts(heard: NDArray[np.float32], count: int) -> Iterator[NDArray[np.float16]]:
    """The real ones first, then ones between two of them."""
    rng = np.random.default_rng(0)
    yield heard[:count].astype(np.float16)
    for first in range(len(heard), count, PART):
        rows = min(PART, count - first)
        one, other = heard[rng.integers(0, len(heard), (2, rows))]
        share = rng.random((rows, 1), np.float32)
        yield noisy(share * one + (1 - share) * other, rng).astype(np.float16)


def timed(
    given: Iterator[NDArray[np.float16]], seconds: list[float]
) -> Iterator[NDArray[np.float16]]:
    """The same; the CPU seconds that they take to invent are added to `seconds`."""
    while True:
        began = time.process_time()
        part = next(given, None)
        seconds[0] += time.process_time() - began
        if part is None:
            return
        yield part


def exact(index: Nearest, wanted: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest (Q, MOST) by the cosines of all."""
    best = np.full((len(wanted), MOST), -1.0, np.float32)
    rows = np.zeros((len(wanted), MOST), np.int64)
    for first in range(0, len(index), PART):
        cosines = wanted @ index.embeddings[first : first + PART].astype(np.float32).T
        both = np.concatenate([best, cosines], axis=1)
        own = np.tile(np.arange(first, first + cosines.shape[1]), (len(wanted), 1))
        order = np.argpartition(-both, MOST - 1, axis=1)[:, :MOST]
        best = np.take_along_axis(both, order, axis=1)
        rows = np.take_along_axis(np.concatenate([rows, own], axis=1), order, axis=1)
    return np.take_along_axis(rows, np.argsort(-best, axis=1), axis=1)


def recall(found: list[NDArray[np.int64]], true: NDArray[np.int64], most: int) -> float:
    hits = [np.isin(rows[:most], one[:most]).mean() for rows, one in zip(true, found, strict=True)]
    return float(np.mean(hits))


def forget(folder: Path) -> None:
    """Leave nothing of an index in the system's memory, as after a restart."""
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def search_all(
    folder: Path, wanted: NDArray[np.float32]
) -> tuple[list[NDArray[np.int64]], list[float], float]:
    """What is found for each, how long each takes (s), and CPU seconds of one."""
    found, took, cpu = [], [], time.process_time()
    for one in wanted:
        began = time.perf_counter()
        found.append(Nearest.open(folder).to(one, MOST)[0])
        took.append(time.perf_counter() - began)
    return found, took, (time.process_time() - cpu) / len(wanted)


def graph(heard: NDArray[np.float32], count: int) -> str:
    """What usearch's graph (HNSW) takes, of its defaults, in float16."""
    usearch = importlib.import_module("usearch.index")
    made = unit(np.concatenate([*parts(heard, count)]).astype(np.float32)).astype(np.float16)
    wanted = noisy(heard[:QUERIES], np.random.default_rng(1)).astype(np.float16)
    index = usearch.Index(ndim=made.shape[1], metric="cos", dtype="f16")
    cpu = time.process_time()
    index.add(np.arange(count), made, threads=1)
    adds = (time.process_time() - cpu) / count
    cpu = time.process_time()
    found = [index.search(one, MOST, threads=1).keys.astype(np.int64) for one in wanted]
    took = (time.process_time() - cpu) / len(wanted)
    cosines = unit(wanted.astype(np.float32)) @ made.astype(np.float32).T
    true = np.argsort(-cosines, axis=1, kind="stable")[:, :MOST]
    return (
        f"usearch  {count:,} windows: {1e3 * adds:.2f} CPU ms to add one, "
        f"{1e3 * took:.1f} CPU ms a search, recall@10 {recall(found, true, 10):.3f}"
    )


def main(store: Path, count: int = WINDOWS, graph_count: int = GRAPH) -> None:
    heard = real(store)
    print(
        f"{len(heard):,} windows of {store}, {heard.shape[1]} numbers; {peak_mb():.0f} MB",
        flush=True,
    )
    wanted = noisy(heard[:: max(1, len(heard) // QUERIES)][:QUERIES], np.random.default_rng(1))
    with TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as scratch:
        folder = Path(scratch)
        made = [0.0]
        cpu = time.process_time()
        write_nearest(folder, timed(parts(heard, count), made), count, heard.shape[1])
        cpu = time.process_time() - cpu - made[0]
        print(f"built    {count:,} windows in {cpu:.1f} CPU s, {peak_mb():.0f} MB", flush=True)
        sizes = {
            name: (folder / name).stat().st_size / 1e6 for name in (EMBEDDINGS, SIGNS, MEDIANS)
        }
        print("bytes    " + ", ".join(f"{name} {size:,.1f} MB" for name, size in sizes.items()))
        forget(folder)
        _, (cold,), _ = search_all(folder, wanted[:1])
        found, took, cpu = search_all(folder, wanted)
        low, middle, high = (1e3 * np.quantile(took, share) for share in (0, 0.5, 0.95))
        print(
            f"search   {1e3 * cpu:.0f} CPU ms; {low:.0f} to {middle:.0f} to {high:.0f} ms (least, "
            f"median, 95 %); {1e3 * cold:.0f} ms from the disk; {peak_mb():.0f} MB",
            flush=True,
        )
        true = exact(Nearest.open(folder), unit(wanted))
        print(f"recall   @10 {recall(found, true, 10):.4f}, @100 {recall(found, true, 100):.4f}")
    if importlib.util.find_spec("usearch"):
        print(graph(heard, graph_count))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
