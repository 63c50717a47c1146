"""Sound files for listening: some detections of each species, cut out of their recordings.

Rate and channels are the recording's own, since who listens wants to hear what was recorded. A
second run adds to the first: what was cut, and what somebody has said of it, stays.
"""

import io
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import soundfile as sf
from pydantic import BaseModel, ConfigDict, Field

from birdcore.audio.piece import read_piece
from birdcore.audio.stream import Rejected
from birdcore.detection.choice import Choice, choose
from birdcore.detection.read import read_detections, recordings_root
from birdcore.detection.verdicts import SEGMENTS, SegmentTable, detection_key, read_segments
from birdcore.store.files import write_bytes
from birdcore.text import plain_text

LONGEST_S = 60.0
"""Of a longer detection the beginning is cut."""
MOST_CHARACTERS, MOST_BYTES = 80, 160
"""Of a part of a name: file systems take 255 bytes, of which a letter may have four."""
NO_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
"""What file systems of other machines do not take in a name."""
KEY = ("file", "class", "start_s", "end_s")
SUBTYPES = {"PCM_24": "PCM_24", "PCM_32": "PCM_24", "FLOAT": "FLOAT", "DOUBLE": "FLOAT"}
"""How samples of more than 16 bits are written; floats may be above full scale."""


class CutSettings(BaseModel):
    """What is cut.

    Attributes:
        choose: See `birdcore.detection.choice.choose`.
        most: Segments of one species in one run, at most.
        min_conf: The least confidence.
        seconds: Segments have at least this length, the detection in the middle.
        seed: Of a random choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choose: Choice = "random"
    most: int = Field(default=50, ge=1)
    min_conf: float = Field(default=0.0, ge=0, le=1)
    seconds: float = Field(default=3.0, ge=0, le=LONGEST_S)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Cut:
    """What a run did.

    Attributes:
        table: The table of segments.
        cut: How many were cut.
        species: Of how many species.
        known: How many of the chosen ones were there before.
        skipped: How many were not cut, by the reason.
    """

    table: Path
    cut: int
    species: int
    known: int
    skipped: Mapping[str, int]


def cut_segments(
    detections: Path,
    out: Path,
    settings: CutSettings,
    root: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cut:
    """Cut segments into a folder for each species, and list them in `segments.csv`.

    Args:
        detections: The output folder of a detection, or its `detections.parquet` or `.csv`.
        out: The folder; made where it lacks.
        settings: What is cut.
        root: Where the recordings are; where the detection found them by default.
        progress: Called with how many of all segments are done.

    Raises:
        ValueError: There are no detections, their recordings are not there, or `out` holds
            something else.
        OSError: `out` can't be written to.
    """
    found = detections_above(detections, settings.min_conf)
    root = root_of(detections, root, found)
    table = read_segments(out / SEGMENTS)
    chosen = choose(found, settings.choose, settings.most, settings.seed)
    folders = _folders(found, table)
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise ValueError(f"{out} can't be written to: give another --out")
    known, new, skipped, before = table.known(), list[dict[str, object]](), Counter[str](), 0
    numbers = Counter(row["class"] for row in table.rows)
    work = [(code, row) for code, rows in chosen.items() for row in rows.tolist()]
    try:
        for done, (code, index) in enumerate(work):
            if progress is not None:
                progress(done, len(work))
            detection = found.iloc[index]
            row = known.get(detection_key(*(detection[name] for name in KEY)))
            if row is not None and (row["verdict"].strip() or (out / row["segment"]).exists()):
                before += 1
                continue
            try:
                new.append(_cut(root, out / folders[code], numbers[code] + 1, detection, settings))
                numbers[code] += 1
            except Rejected as error:
                skipped[str(error)] += 1
    finally:  # also where the run is stopped: what was cut is listed
        _list(out / SEGMENTS, new)
    species = len({cells["class"] for cells in new})
    return Cut(out / SEGMENTS, len(new), species, before, skipped)


def _list(path: Path, new: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to the table as it is now: somebody may have filled it in meanwhile."""
    table = read_segments(path)
    known = table.known()
    for cells in new:
        row = known.get(detection_key(*(cells[name] for name in KEY)))
        if row is None:
            table.add(cells)
        else:  # its sound had been removed
            row["segment"] = cells["segment"]
    if new or not path.exists():
        table.write(path)


def detections_above(path: Path, min_conf: float) -> pd.DataFrame:
    """Detections of this confidence or more; raises ValueError where there are none."""
    found = read_detections(path)
    if not len(found):
        raise ValueError(f"{path} has no detection in it: nothing to listen to")
    sure = found[found["confidence"] >= min_conf].reset_index(drop=True)
    if not len(sure):
        raise ValueError(
            f"no detection has a confidence of {min_conf:g} or more: "
            f"the highest is {found['confidence'].max():.3f}"
        )
    return sure


def root_of(detections: Path, root: Path | None, found: pd.DataFrame) -> Path:
    """Where the recordings are, of which there must be one; raises ValueError otherwise."""
    names = [str(name) for name in found["file"].unique()]
    root = root or recordings_root(detections)
    if root is None:
        if not all(Path(name).is_absolute() for name in names):
            raise ValueError(
                f"{detections} does not say where its recordings are: say so with --audio DIR"
            )
        root = Path("/")
    if not any((root / name).is_file() for name in names):
        raise ValueError(
            f"no recording is where it was found ({root / names[0]}): "
            "say with --audio DIR where they are now"
        )
    return root


def _folders(found: pd.DataFrame, table: SegmentTable) -> dict[str, str]:
    """The folder of each class: its names, as BirdNET-Analyzer trains on them."""
    folders = {
        row["class"]: _file_name(PurePosixPath(row["segment"]).parent.name) for row in table.rows
    }
    taken = {name.casefold() for name in folders.values()}
    species = found.drop_duplicates("class")
    names = zip(species["class"], species["scientific_name"], species["common_name"], strict=True)
    for code, scientific, common in sorted(names):
        if code not in folders:
            parts = dict.fromkeys(name for name in (scientific, common) if name)
            name = _file_name("_".join(parts) or code)
            if name.casefold() in taken:  # of two classes of one species
                name = _file_name(f"{name[: MOST_CHARACTERS // 2]} {code}")
            taken.add(name.casefold())
            folders[code] = name
    return folders


def _cut(
    root: Path, folder: Path, number: int, detection: "pd.Series[Any]", settings: CutSettings
) -> dict[str, object]:
    """Cut one segment; returns its row.

    Raises:
        Rejected: The recording can't be read.
    """
    start_s, end_s = float(detection["start_s"]), float(detection["end_s"])
    around_s = max((settings.seconds - (end_s - start_s)) / 2, 0.0)
    first_s = max(start_s - around_s, 0.0)
    last_s = min(end_s + around_s, first_s + LONGEST_S)
    path = root / detection["file"]
    samples, rate = read_piece(path, first_s, last_s)
    last_s = first_s + len(samples) / rate
    stem = _file_name(PurePosixPath(detection["file"]).stem)
    name = f"{detection['confidence']:.3f}_{number}_{stem}_{first_s:.1f}s_{last_s:.1f}s.wav"
    file = io.BytesIO()
    sf.write(file, samples, rate, format="WAV", subtype=_subtype(path))
    folder.mkdir(exist_ok=True)
    write_bytes(folder / name, file.getvalue())
    cuts = {"cut_start_s": first_s, "cut_end_s": last_s}
    numbers = {"start_s": start_s, "end_s": end_s, "confidence": float(detection["confidence"])}
    return {**detection, **numbers, **cuts, "segment": f"{folder.name}/{name}"}


def _subtype(path: Path) -> str:
    try:
        return SUBTYPES.get(sf.info(path).subtype, "PCM_16")
    except sf.LibsndfileError:  # what FFmpeg reads
        return "PCM_16"


def _file_name(text: str) -> str:
    """A text as a part of a file's name, on any machine."""
    name = NO_NAME.sub("_", plain_text(text))[:MOST_CHARACTERS]
    return name.encode()[:MOST_BYTES].decode(errors="ignore").strip(" .") or "_"
