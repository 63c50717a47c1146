"""`birdflow detect`: who is heard in files and folders of recordings, as tables that tools open.

The options have the spellings of BirdNET-Analyzer, so that people's scripts go on working; with `-`
for `_` they are understood as well. No store, recipe or Prefect is needed.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdcore.detection.threads import MOST_THREADS
from birdcore.text import first_of
from flows.options import Debug
from flows.terminal import doing, ends_on_interrupt, err, out
from flows.time_left import duration, progress_of_files

if TYPE_CHECKING:
    from birdcore.csv_table import Problem
    from birdcore.detection.models import Detector
    from birdcore.detection.place import Place
    from birdcore.detection.progress import Progress
    from birdcore.detection.table import Species

WINDOWS = "Fixed windows"
WHICH = "Which species"
MIN_CONF = 0.25
FEW = 3


def _option(name: str, panel: str | None = None, **more: Any) -> Any:
    names = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
    return typer.Option(*names, rich_help_panel=panel, **more)


# fmt: off
def detect(
    paths: Annotated[list[Path], typer.Argument(
        metavar="PATH", help="Recordings, and folders of them.", show_default=False)],
    *,
    model: Annotated[str, _option(
        "model", metavar="M", help="A run's results folder, an exported bundle, birdnet, or the "
        "path of a TOML file that describes another model.",
        show_default=False)],
    teacher: Annotated[str | None, _option(
        "teacher", metavar="FILE", help="Of a run whose models are probes: the TOML that describes "
        "their teacher, where that is not part of birdflow.")] = None,
    out_folder: Annotated[Path, _option(
        "out", metavar="DIR", help="Where tables go.", show_default=False)],
    rtype: Annotated[list[str], _option(
        "rtype", metavar="FORMAT", help="table (Raven), csv, audacity, kaleidoscope or parquet; "
        "several with spaces or commas between.")] = ["table", "csv"],  # noqa: B006
    min_conf: Annotated[float | None, _option(
        "min_conf", min=1e-5, max=1,
        help=f"The least confidence of a detection, {MIN_CONF} by default.")] = None,
    precision: Annotated[float | None, _option(
        "precision", min=0.5, max=0.99, help="A threshold for each species instead, from the "
        "model's held-out recordings: of those in which it is found, so many have it.")] = None,
    segments: Annotated[float | None, _option(
        "segments", WINDOWS, metavar="S", min=0.1, help="Windows of 3 or 5 seconds instead of "
        "events with a begin and an end of their own.")] = None,
    overlap: Annotated[float, _option(
        "overlap", WINDOWS, metavar="S", min=0, help="Overlap of windows, seconds.")] = 0.0,
    top_n: Annotated[int, _option(
        "top_n", WINDOWS, metavar="N", min=0, show_default=False,
        help="The surest N species of each window, whatever their confidence.")] = 0,
    merge_consecutive: Annotated[int, _option(
        "merge_consecutive", WINDOWS, metavar="N", min=1,
        help="Up to N windows of a species, one after another, become one detection.")] = 1,
    slist: Annotated[Path | None, _option(
        "slist", WHICH, metavar="FILE", help="Species to look for, one in a line.")] = None,
    lat: Annotated[float | None, _option(
        "lat", WHICH, help="Latitude of the recordings, degrees.")] = None,
    lon: Annotated[float | None, _option("lon", WHICH, help="Longitude, degrees.")] = None,
    week: Annotated[int | None, _option(
        "week", WHICH, help="Week, 1 to 48, or -1 for the whole year.")] = None,
    geomodel: Annotated[Path | None, _option(
        "geomodel", WHICH, metavar="FILE", help="A model of where species occur, as ONNX, with its "
        "labels beside it (FILE's name with .txt, or labels.txt).")] = None,
    split_tables: Annotated[bool, _option(
        "split_tables", help="A table for each recording instead of one for all.")] = False,
    threads: Annotated[int, _option(
        "threads", metavar="N", min=0,
        help="Cores that the model takes, and recordings that are decoded at once; 0: all cores, "
        f"and up to {MOST_THREADS} recordings.")] = 0,
    engine: Annotated[str, _option(
        "engine", metavar="NAME", help="auto, torch, openvino or onnx.")] = "auto",
    debug: Debug = False,
) -> None:
    # fmt: on
    """Find species in recordings, and write tables that other tools open.

    Stopped or killed, the same command goes on where it was. Processes with one --out share work.
    """
    began = time.monotonic()
    paths, rtypes = _formats(paths, rtype)
    if min_conf is not None and precision is not None:
        raise ValueError("--min_conf and --precision are two ways to say a threshold: give one")
    with doing("looking for recordings"):
        from birdcore.detection.files import find_recordings
        from birdcore.detection.place import place_of
        from birdcore.detection.writers import check_rtypes, output_paths

        check_rtypes(rtypes)
        place = place_of(lat, lon, week, geomodel)
        files = find_recordings(paths, out_folder)
    _note_passed_over(files.passed_over)
    with doing(f"opening {model}"), warnings.catch_warnings(record=True) as caught:
        from birdcore.detection.detect import detect
        from birdcore.detection.models import open_detector
        from birdcore.detection.settings import DetectSettings

        warnings.simplefilter("always", UserWarning)
        detector = open_detector(model, threads, engine, teacher)
    for warning in caught:
        err.print(f"note: {warning.message}")
    classes = _classes(detector.species, slist, place)
    settings = DetectSettings(
        min_conf=min_conf or MIN_CONF,
        thresholds=None if precision is None else _thresholds(detector, precision),
        segment_s=segments,
        overlap_s=overlap,
        top_n=top_n,
        merge_consecutive=merge_consecutive,
        classes=classes,
    )
    with ends_on_interrupt(), progress_of_files() as show:
        done = detect(
            files,
            detector,
            settings,
            out_folder,
            rtypes=rtypes,
            split_tables=split_tables,
            threads=threads,
            progress=show,
        )
        with doing("drawing the page"):
            from birdcore.detection.page import write_page

            page = write_page(out_folder, files.root)
    tables = output_paths(out_folder, rtypes, split_tables=split_tables)
    _print_end(done, tables, page, time.monotonic() - began)


def _formats(paths: Sequence[Path], rtype: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Paths and formats; as in BirdNET-Analyzer, `--rtype csv table` names two."""
    from birdcore.detection.writers import RTYPES

    words = [str(path) for path in paths if str(path) in RTYPES and not path.exists()]
    names = [name for text in rtype for name in text.split(",") if name]
    return [path for path in paths if str(path) not in words], list(dict.fromkeys(names + words))


def _classes(
    species: Sequence[Species], slist: Path | None, place: Place | None
) -> tuple[str, ...] | None:
    """Codes of the classes that are looked for, None for all."""
    from birdcore.detection.place import species_at
    from birdcore.detection.species_list import asked_classes, match_species, read_species_list

    masks = []
    if slist is not None:
        listed, unknown = read_species_list(slist, species)
        masks.append(listed)
        if unknown:
            err.print(f"note: not a species of the model: {first_of(unknown, FEW)}")
    if place is not None:
        where = f"the species of {place.latitude:g} {place.longitude:g} in week {place.week}"
        masks.append(match_species(species_at(place), species, where)[0])
    return asked_classes(species, masks)


def _thresholds(detector: Detector[Any], precision: float) -> tuple[float | None, ...]:
    """A threshold of each class; says which classes can't be detected so precisely."""
    if detector.calibration is None:
        raise ValueError(
            "the model has no calibration.json, since its run held out no recordings or is of an "
            "earlier version: give --min_conf instead of --precision"
        )
    thresholds = detector.calibration.thresholds_for(precision)
    pairs = zip(detector.species, thresholds, strict=True)
    if lacking := [one.common_name for one, threshold in pairs if threshold is None]:
        err.print(
            f"note: {len(lacking)} of {len(thresholds)} species are left out, since no threshold "
            f"gives them a precision of {precision:g}: {first_of(lacking, FEW)}"
        )
    return thresholds


def _note_passed_over(problems: Sequence[Problem]) -> None:
    """Say what looks like recordings and is none; `flows.problems` would import the stages."""
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.problem, []).append(problem.where)
    for kind, names in kinds.items():
        err.print(f"note: passed over: {kind}: {first_of(names, FEW)}")


def _print_end(done: Progress, tables: Sequence[Path], page: Path, seconds: float) -> None:
    """What this process has done, and where the tables are."""
    line = f"{done.own_files:,} files, {done.own_seconds / 3600:.2f} h of audio"
    line += f", {done.detections:,} detections"
    if done.own_files < done.all_files:
        line += f"; {done.all_files - done.own_files:,} other files were done before or elsewhere"
    out.print(line)
    if done.failed:
        out.print(f"{done.failed:,} could not be read: {tables[0]} says why")
    out.print(f"tables   {', '.join(map(str, tables))}")
    out.print(f"page     {page}")
    out.print(f"took     {duration(seconds)}")
