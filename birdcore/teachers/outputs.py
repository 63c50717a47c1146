"""An external teacher's outputs for a shard's recordings, in Parquet and back, and over any time.

A row is a window of the teacher. Embedding and probabilities are float16 in FixedSizeBinary: lists
are read 35 times slower. 162 hours every 1.5 s are 800 MB of embeddings of 1,024 numbers, and
160 MB of the probabilities of 206 species; all 6,522 classes of BirdNET would be 5 GB, so only the
competition's are kept.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdcore.teachers.external_teacher import Credit

METADATA_KEY = b"birdflow.heard"
LONGER_S = 1e6
"""No recording is longer: row and time make one number that sorts by both."""
TOLERANCE_S = 0.1
"""A crop that is longer than a window by less is as long: frames round times."""


@dataclass(frozen=True)
class TeacherInfo:
    """What all rows of a file have in common.

    Attributes:
        window_s: Length of a window, seconds.
        species: Scientific names, the columns of the probabilities.
        credit: Whose work the teacher is.
    """

    window_s: float
    species: tuple[str, ...]
    credit: Credit


@dataclass(frozen=True)
class TeacherOutputs:
    """A teacher's outputs for S windows of R recordings, sorted by recording and time, on the CPU.

    Attributes:
        info: The teacher.
        first: (R,), the first window of each recording.
        count: (R,), how many windows it has.
        starts: (S,), where windows begin, seconds.
        embeddings: (S, D), float16.
        probabilities: (S, K), float16; of probes float32, since half their cells are below what
            float16 can tell from 0.
    """

    info: TeacherInfo
    first: Tensor
    count: Tensor
    starts: Tensor
    embeddings: Tensor
    probabilities: Tensor

    def embedding(self, rows: Tensor, begin_s: Tensor, seconds: float) -> Tensor:
        """Embeddings (B, D), float32, of crops of recordings (rows and begin_s are (B,)).

        A crop no longer than a window is linear between the two windows whose middles are around
        its own: a mean over all that overlap it would tell of seconds that are not in the crop.
        A longer one is the mean over those that overlap it, weighted by how long they do.
        """
        return self._of_crops(self.embeddings, rows, begin_s, seconds)

    def crop_probability(self, rows: Tensor, begin_s: Tensor, seconds: float) -> Tensor:
        """Probabilities (B, K), float32, of crops, in the same way: labels of what a student
        hears."""
        return self._of_crops(self.probabilities, rows, begin_s, seconds)

    def probability(self, rows: Tensor, begin_s: Tensor, seconds: float | Tensor) -> Tensor:
        """Probabilities (B, K), float32, of segments as the teacher predicts them: the mean over
        the windows that overlap each, weighted by how long they do; each may have its length."""
        return self._mean(self.probabilities, rows, begin_s, seconds)

    def windows_of(self, rows: Tensor) -> Tensor:
        """The numbers of all windows of recordings (B,), one recording's after the other's."""
        count = self.count[rows]
        within = torch.arange(int(count.sum())) - (count.cumsum(0) - count).repeat_interleave(count)
        return self.first[rows].repeat_interleave(count) + within

    def only(self, rows: Tensor) -> "TeacherOutputs":
        """The outputs for these recordings (B,) alone, in their order."""
        windows, count = self.windows_of(rows), self.count[rows]
        first = count.cumsum(0) - count
        arrays = (self.starts, self.embeddings, self.probabilities)
        return TeacherOutputs(self.info, first, count, *(each[windows] for each in arrays))

    def _of_crops(self, values: Tensor, rows: Tensor, begin_s: Tensor, seconds: float) -> Tensor:
        if seconds > self.info.window_s + TOLERANCE_S:
            return self._mean(values, rows, begin_s, seconds)
        rows = rows.cpu()
        first, last = self.first[rows], self.first[rows] + self.count[rows] - 1
        # Where a window with the crop's middle would begin.
        wanted = begin_s.cpu().double() + (seconds - self.info.window_s) / 2
        before = (self._after(rows, wanted) - 1).clamp(first, last)
        after = torch.minimum(before + 1, last)
        apart = (self.starts[after] - self.starts[before]).clamp(min=1e-6)
        share = ((wanted - self.starts[before]) / apart).clamp(0.0, 1.0).float()
        return torch.lerp(values[before].float(), values[after].float(), share[:, None])

    def _mean(
        self, values: Tensor, rows: Tensor, begin_s: Tensor, seconds: float | Tensor
    ) -> Tensor:
        if not len(rows):
            return values.new_zeros(0, values.shape[1], dtype=torch.float32)
        rows, begin = rows.cpu(), begin_s.cpu().double()
        end = begin + seconds
        first, last = self.first[rows], self.first[rows] + self.count[rows] - 1
        # The windows that overlap a crop are at least one, and as many as W for one of the crops.
        low = self._after(rows, begin - self.info.window_s).clamp(first, last)
        high = self._after(rows, end).clamp(low + 1, last + 1)
        at = low[:, None] + torch.arange(int((high - low).max()))
        at, own = torch.minimum(at, last[:, None]), at < high[:, None]
        starts = self.starts[at]
        shared = torch.minimum(starts + self.info.window_s, end[:, None])
        shared = shared - torch.maximum(starts, begin[:, None])
        weights = torch.where(own, shared.clamp(min=1e-6), 0.0)
        weights = weights / weights.sum(dim=1, keepdim=True)
        return torch.einsum("bw,bwd->bd", weights.float(), values[at].float())

    def _after(self, rows: Tensor, seconds: Tensor) -> Tensor:
        """The first window (B,) that starts after a time, of all recordings' windows."""
        return torch.searchsorted(self._key, rows * LONGER_S + seconds, right=True)

    @cached_property
    def _key(self) -> Tensor:
        rows = torch.arange(len(self.first)).repeat_interleave(self.count)
        return rows * LONGER_S + self.starts


def write_outputs(
    path: Path,
    info: TeacherInfo,
    recordings: Sequence[str],
    starts: NDArray[np.float64],
    embeddings: NDArray[np.float16],
    probabilities: NDArray[np.float16],
) -> None:
    """Write a row for each window: its recording, its start in seconds, and the outputs."""
    columns = {
        "recording": pa.array(recordings, pa.string()),
        "start": pa.array(starts, pa.float64()),
        "embedding": _binary(embeddings),
    }
    if info.species:  # Parquet knows no values of no bytes
        columns["probabilities"] = _binary(probabilities)
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(asdict(info))})
    pq.write_table(table, path, compression="none", use_dictionary=["recording"])


def read_outputs(paths: Sequence[Path], names: Sequence[str]) -> TeacherOutputs:
    """The outputs for these recordings, in their order, from files of one teacher.

    Raises:
        ValueError: Files differ in teacher or species, or have nothing of one of the recordings.
    """
    tables = [pq.read_table(path) for path in paths]
    infos = [read_teacher_info(path) for path in paths]
    for path, info in zip(paths, infos, strict=True):
        if info != infos[0]:
            raise ValueError(f"{paths[0]} and {path} are of different teachers or species")
    table = pa.concat_tables(tables)
    row_of = {name: row for row, name in enumerate(names)}
    rows = np.array([row_of.get(name, -1) for name in table["recording"].to_pylist()], np.int64)
    starts = table["start"].to_numpy()
    order = np.lexsort((starts, rows))
    order = order[rows[order] >= 0]
    count = np.bincount(rows[order], minlength=len(names))
    for row in np.flatnonzero(count == 0)[:1]:
        raise ValueError(f"there are no outputs of the external teacher for {names[row]}")
    nothing = np.empty((len(order), 0), np.float16)
    has_species = "probabilities" in table.column_names
    arrays = (
        np.cumsum(count) - count,
        count,
        starts[order],
        _halves(table["embedding"])[order],
        _halves(table["probabilities"])[order] if has_species else nothing,
    )
    return TeacherOutputs(infos[0], *map(torch.from_numpy, arrays))


def read_embeddings(
    path: Path,
) -> tuple[pa.ChunkedArray, NDArray[np.float64], NDArray[np.float16]]:
    """Recordings (S,), starts (S,) in seconds and embeddings (S, D) of all windows of a file."""
    table = pq.read_table(path, columns=["recording", "start", "embedding"])
    return table["recording"], table["start"].to_numpy(), _halves(table["embedding"])


def read_teacher_info(path: Path) -> TeacherInfo:
    """The teacher of a file, without reading a row."""
    fields: dict[str, Any] = json.loads(pq.read_schema(path).metadata[METADATA_KEY])
    return TeacherInfo(fields["window_s"], tuple(fields["species"]), Credit(**fields["credit"]))


def _binary(array: NDArray[np.float16]) -> pa.Array:
    data = np.ascontiguousarray(array)
    kind = pa.binary(data.shape[1] * data.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(data), [None, pa.py_buffer(data)])


def _halves(column: pa.ChunkedArray) -> NDArray[np.float16]:
    width = column.type.byte_width
    flat = [
        np.frombuffer(c.buffers()[1], np.uint8)[c.offset * width : (c.offset + len(c)) * width]
        for c in column.chunks
        if len(c)
    ]
    return np.concatenate([np.empty(0, np.uint8), *flat]).view(np.float16).reshape(-1, width // 2)
