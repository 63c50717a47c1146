"""The task `detect`: new recordings of a folder are analysed and added to its tables.

It keeps no result of Prefect's: the output folder knows which recordings are done, so a retry, a
later run or the command `birdflow detect` goes on where it was.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.tasks import exponential_backoff

from birdcore.detection.detect import detect
from birdcore.detection.files import Files, find_recordings
from birdcore.detection.models import open_detector
from birdcore.detection.page import write_page
from birdcore.detection.progress import Progress
from birdcore.detection.settings import DetectSettings
from birdcore.detection.species_list import asked_classes, read_species_list
from birdcore.text import plain_text
from tasks.progress import progress_of
from tasks.stage import RETRIES, can_recover


@task(
    name="detect",
    task_run_name="detect {folder}",
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(10),
    retry_jitter_factor=0.5,
    retry_condition_fn=can_recover,
)
def detect_new(
    folder: str,
    model: str,
    out: str,
    formats: list[str],
    settings: DetectSettings,
    species_list: str | None,
    settled_min: float,
) -> Progress | None:
    """Analyse what is new in a folder, and write its tables and page.

    Args:
        folder: Of recordings.
        model: What `open_detector` opens.
        out: The output folder.
        formats: Of the tables.
        settings: What is detected; its classes are those of the species list, if one is given.
        species_list: Path of a list of species, or None for all.
        settled_min: Minutes since a recording was last written to; younger ones are for the next
            run, since they may still grow.

    Returns:
        What was done; None where no recording has settled yet.
    """
    files = settled(find_recordings([Path(folder)], Path(out)), settled_min)
    if not files.sizes:
        return None
    detector = open_detector(model)
    if species_list is not None:
        listed, unknown = read_species_list(Path(species_list), detector.species)
        if unknown:
            get_run_logger().warning(
                "not a species of the model: %s", plain_text(", ".join(unknown))
            )
        classes = asked_classes(detector.species, [listed])
        settings = settings.model_copy(update={"classes": classes})
    with progress_of("detect") as report:

        def show(done: Progress) -> None:
            report(done.files, done.all_files, f"{done.detections} detections")

        done = detect(files, detector, settings, Path(out), rtypes=formats, progress=show)
    write_page(Path(out), files.root)
    return done


def settled(files: Files, minutes: float) -> Files:
    """The recordings that have not been written to for so many minutes."""
    latest = time.time() - 60 * minutes
    sizes = {
        name: size
        for name, size in files.sizes.items()
        if (files.root / name).stat().st_mtime <= latest
    }
    return replace(files, sizes=sizes)


def facts(done: Progress | None) -> dict[str, Any]:
    """What a run did, in a few numbers."""
    if done is None:
        return {"files": 0, "hours": 0.0, "detections": 0, "failed": 0}
    hours = round(done.own_seconds / 3600, 4)
    return {
        "files": done.own_files,
        "hours": hours,
        "detections": done.detections,
        "failed": done.failed,
    }
