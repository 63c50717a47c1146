"""The flow `detect`: species in a folder of recordings that fills up, by hand or every night.

New recordings are added to the tables that are there; the ones before stay as they are. The UI has
the species, the hours of the day at which they were detected, and the files that failed.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import deployment, flow_run

from birdcore.detection.activity import Activity, activity
from birdcore.detection.page import PAGE
from birdcore.detection.read import read_detections, read_files
from birdcore.detection.settings import DetectSettings
from birdcore.text import plain_text
from tasks.detect import detect_new, facts
from tasks.stop import end_with_starter, report_crash, stopping

SPECIES_SHOWN = 200
BAR = "▁▂▃▄▅▆▇█"
BAR_CELLS = 24
"""Length of the longest bar of an hour."""


def _title() -> str:
    return f"detect {Path(flow_run.parameters['folder']).name}"


@flow(name="detect", flow_run_name=_title)
def detect(
    folder: str,
    model: str,
    out: str,
    formats: list[str] = ["table", "csv"],  # noqa: B006
    min_conf: float = 0.25,
    segment_s: float | None = None,
    species_list: str | None = None,
    settled_min: float = 10.0,
) -> dict[str, Any]:
    """Analyse what is new in a folder, and add it to the tables.

    Args:
        folder: Folder of recordings, with those in folders below.
        model: A run's results folder, an exported bundle, birdnet, or the path of a TOML file that
            describes another model.
        out: Folder of the tables and the page, for one model and one set of these settings.
        formats: table, csv, audacity, kaleidoscope; a Parquet file is always written.
        min_conf: The least confidence of a detection.
        segment_s: Fixed windows of 3 or 5 s instead of events with a begin and an end.
        species_list: Path of a file with the species to look for, one in a line; all, if empty.
        settled_min: Recordings that were written to within so many minutes wait for the next run.
    """
    if deployment.id:
        end_with_starter(lambda: report_crash(flow_run.id))
    settings = DetectSettings(min_conf=min_conf, segment_s=segment_s)
    kinds = list(dict.fromkeys([*formats, "parquet"]))
    stopping.clear()
    try:
        done = detect_new(folder, model, out, kinds, settings, species_list or None, settled_min)
    except BaseException:
        stopping.set()
        raise
    if done is None:
        get_run_logger().info(
            "every recording in %s was written to within %g min", folder, settled_min
        )
    else:
        show_detections(Path(out))
    return facts(done)


def show_detections(out: Path) -> None:
    """Tables and the page of an output folder, in the UI."""
    files = read_files(out)
    found = activity(read_detections(out), files)
    if rows := species_rows(found):
        shown = rows[:SPECIES_SHOWN]
        about = f"{len(shown)} of {len(rows)} species"
        create_table_artifact(shown, key="species", description=about)
    create_markdown_artifact(hours_chart(found), key="hours")
    failed = files[files["reason"].fillna("") != ""]
    if len(failed):
        pairs = zip(failed["file"], failed["reason"], strict=True)
        rows = [{"file": plain_text(name), "why": plain_text(why)} for name, why in pairs]
        create_table_artifact(rows, key="failed", description=f"{len(rows)} files with problems")
    create_link_artifact((out / PAGE).resolve().as_uri(), link_text="detections", key="detections")


def species_rows(found: Activity) -> list[dict[str, Any]]:
    """A row for each species, from the most to the least often detected."""
    return [
        {
            "species": plain_text(one.common_name),
            "scientific name": plain_text(one.scientific_name),
            "detections": one.detections,
            "recordings": one.recordings,
            "highest": round(one.highest, 3),
            "hours 0 to 23": bars(one.hours.tolist()),
        }
        for one in found.species
    ]


def hours_chart(found: Activity) -> str:
    """Detections an hour of audio for each hour of the day: a table with bars, in Markdown.

    Prefect's first UI shows charts of Mermaid as their source, so bars are text.
    """
    counts = pd.DataFrame([one.hours for one in found.species]).sum() if found.species else None
    if counts is None or not counts.sum():
        return "No detections at a known time."
    rates = [
        float(count) / hours if hours else None
        for count, hours in zip(counts, found.hours_of_audio, strict=True)
    ]
    most = max(rate for rate in rates if rate is not None)
    rows = [
        f"| {hour} | {rate:.1f} | {'█' * round(BAR_CELLS * rate / most)} |"
        if rate is not None
        else f"| {hour} | no audio | |"
        for hour, rate in enumerate(rates)
    ]
    return "\n".join(
        ["| hour of the day | detections an hour of audio | |", "|--:|--:|:--|", *rows]
    )


def bars(counts: list[int]) -> str:
    """Counts as a line of blocks, as high as their share of the largest.

    Example:
        >>> bars([0, 4, 8])
        ' ▄█'
    """
    most = max(counts, default=0)
    return "".join(BAR[-(-count * len(BAR) // most) - 1] if count else " " for count in counts)
