"""The page of detections: when which species were detected, and what to look at and listen to.

It is `index.html` in the output folder of a detection, with pictures and sounds in `page/` beside
it: it opens without a network, and tables of hundreds of thousands of rows are in it as counts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdcore.detection import charts
from birdcore.detection.activity import activity, clock_time
from birdcore.detection.examples import FOLDER, Example, Recording, choose_examples, draw_example
from birdcore.detection.read import FILES, read_detections, read_files, recordings_root
from birdcore.detection.writers import ALL_FILES, RTYPES
from birdcore.pages.template import environment
from birdcore.store.files import write_text
from birdcore.text import first_of, plain_text

PAGE = "index.html"
MOST_PROBLEMS = 500
"""Files with a problem that the page lists; `files.csv` has all."""
MOST_NAMES = 5
"""Models, recorders and sites that are named, of those that there are."""
THREADS = 4
"""Pieces that are drawn at once: each holds seconds of sound, and disks like few readers."""
OURS = re.compile(r"[0-9a-f]{16}\.(png|flac)")


def write_page(out: Path, root: Path | None = None) -> Path:
    """Write `index.html` and what it shows into the output folder of a detection.

    A recording that is gone, or can't be read, costs only its picture and sound.

    Args:
        out: The folder, with `files.csv` and the detections.
        root: Where the recordings are; where the detection found them by default.

    Returns:
        The path of the page.

    Raises:
        ValueError: The folder holds no detections.
        OSError: It can't be read or written to.

    Example:
        >>> write_page(Path("detections"))  # doctest: +SKIP
        PosixPath('detections/index.html')
    """
    detections, files = read_detections(out), read_files(out)
    root = root or recordings_root(out)
    found = activity(detections, files)
    (out / FOLDER).mkdir(exist_ok=True)
    examples = _examples(out, root, detections, files, [one.code for one in found.species])
    drawn = [one for pair in examples.values() for kind in pair for one in kind]
    filters = (few, charts.spark)
    template = environment(Path(__file__).parent, *filters).get_template("page.html")
    page = template.render(
        name="" if root is None else plain_text(root.name),
        detections=len(detections),
        found=found,
        numbers={one.code: n for n, one in enumerate(found.species, 1)},
        about=_about(files),
        chart=charts.day_chart(found) if len(found.periods) else None,
        all_hours=sum((one.hours for one in found.species), np.zeros(24, np.int64)),
        shaded=charts.shaded,
        examples=examples,
        drawn=len(drawn),
        gone=Counter(one.reason for one in drawn if one.reason).most_common(),
        problems=_problems(files),
        most_problems=MOST_PROBLEMS,
        tables=[name for name in _table_names() if (out / name).exists()],
    )
    write_text(out / PAGE, page)
    _remove_others(out / FOLDER, drawn)
    return out / PAGE


@dataclass(frozen=True)
class About:
    """What was analysed, and by what.

    Attributes:
        recordings, hours: Those that were analysed.
        silent: Of these, how many without a detection.
        failed: Files that were not analysed.
        thresholds: The lowest and the highest.
        models, recorders, sites: Names, the first `MOST_NAMES` and how many more there are.
    """

    recordings: int
    hours: float
    silent: int
    failed: int
    thresholds: tuple[float, float] | None
    models: str
    recorders: str
    sites: str


def _about(files: pd.DataFrame) -> About:
    analysed = files[files["seconds"] > 0]
    thresholds = analysed["threshold"].dropna()
    recorders = analysed["recorder"].astype(str) + " " + analysed["serial"].astype(str)
    return About(
        recordings=len(analysed),
        hours=float(analysed["seconds"].sum() / 3600),
        silent=int((analysed["detections"] == 0).sum()),
        failed=len(files) - len(analysed),
        thresholds=(thresholds.min(), thresholds.max()) if len(thresholds) else None,
        models=_names(analysed["model"]),
        recorders=_names(recorders),
        sites=_names(analysed["site"]),
    )


def _names(values: "pd.Series[str]") -> str:
    names = [name for value in pd.unique(values) if (name := str(value).strip())]
    return first_of(names, MOST_NAMES)


def _problems(files: pd.DataFrame) -> list[dict[str, Any]]:
    """Files that were not analysed, then those that were, but for something."""
    wrong = files[(files["reason"] != "") | (files["seconds"] <= 0)]
    wrong = wrong.sort_values("seconds", kind="stable", key=lambda seconds: seconds > 0)
    return [
        {"file": file, "analysed": seconds > 0, "reason": reason}
        for file, seconds, reason in zip(
            wrong["file"], wrong["seconds"], wrong["reason"], strict=True
        )
    ]


def _table_names() -> Iterable[str]:
    yield from (f"{ALL_FILES}{writer.suffix}" for writer in RTYPES.values())
    yield FILES


def _examples(
    out: Path,
    root: Path | None,
    detections: pd.DataFrame,
    files: pd.DataFrame,
    codes: Sequence[str],
) -> dict[str, tuple[list[Example], list[Example]]]:
    """By class: the surest detections and the least sure, with pictures and sounds."""
    forms = zip(files["seconds"], files["rate"], strict=True)
    known = dict(zip(files["file"], forms, strict=True))

    def draw(row: int) -> Example:
        cells = detections.iloc[row]
        name, start_s = str(cells["file"]), float(cells["start_s"])
        seconds, rate = known.get(name, (np.inf, np.inf))
        recording = Recording(name, None if root is None else root / name, seconds, rate)
        time = clock_time(cells["recorded_at"]) + np.timedelta64(int(start_s), "s")
        return draw_example(
            out, recording, start_s, float(cells["end_s"]), float(cells["confidence"]),
            "" if np.isnat(time) else str(time).replace("T", " "),
        )  # fmt: skip

    chosen = choose_examples(detections, codes)
    rows = sorted({row for pair in chosen.values() for kind in pair for row in kind})
    from birdcore.compute_threads import torch_pool  # here: many a page has nothing to draw

    with torch_pool(THREADS, "draw") as pool:
        drawn = dict(zip(rows, pool.map(draw, rows), strict=True))
    return {
        code: ([drawn[row] for row in sure], [drawn[row] for row in least])
        for code, (sure, least) in chosen.items()
    }


def _remove_others(folder: Path, drawn: Sequence[Example]) -> None:
    """Remove pictures and sounds of an earlier page that this one does not show."""
    shown = {Path(name).name for one in drawn for name in (one.picture, one.sound)}
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.name not in shown:
            path.unlink(missing_ok=True)  # processes that share a detection each write its page


def few(value: float) -> str:
    """A number for a narrow cell: nothing for 0, thousands as k."""
    if value >= 9950:
        return f"{value / 1000:.0f}k"
    if value >= 1000:
        return f"{value / 1000:.1f}k"
    return "" if not value else f"{value:.0f}" if value >= 1 or value == int(value) else "<1"
