"""`birdflow review`: listen to detections on a local page, and say what is heard."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import AudioFolder, Debug, DrawSeed, LeastConfidence, StoreUrl
from flows.terminal import doing, err, out

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "verdicts"


def review(
    detections: Annotated[
        Path,
        typer.Argument(
            metavar="DETECTIONS|RUN",
            help="The folder that detect wrote to (--out), its detections.parquet or .csv, a list "
            "of birdflow search, or a run's results folder.",
            show_default=False,
        ),
    ],
    *,
    store: StoreUrl = "store",
    how: Annotated[
        str,
        typer.Option(
            "--choose",
            metavar="HOW",
            help="Of each species first: uncertain, rare (the surest, rare species first), or "
            "balanced (each tenth of confidence, at random within).",
        ),
    ] = "uncertain",
    most: Annotated[int, typer.Option("--max", metavar="N", min=1, help="Clips at most.")] = 200,
    min_conf: LeastConfidence = 0.0,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where verdicts go, a CSV for each person; `verdicts` beside the detections by "
            "default.",
            show_default=False,
        ),
    ] = None,
    annotator: Annotated[
        str,
        typer.Option(metavar="NAME", help="Who listens; your account's name by default."),
    ] = "",
    audio: AudioFolder = None,
    seed: DrawSeed = 0,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the page on 127.0.0.1; 0: any.")
    ] = 4210,
    debug: Debug = False,
) -> None:
    """Play the detections that matter most on a local page, and write each verdict at once.

    Of a RUN they are what its models have said of recordings without labels. The verdicts are
    labels that `birdflow run` reads; the same command goes on where it was.
    """
    with doing("reading detections"):
        from birdcore.detection.choice import BANDS
        from birdcore.detection.review_order import check_order, clips_in_order
        from birdcore.detection.review_summary import disagreements, others, right_by_band
        from birdcore.detection.review_table import check_name, open_table
        from birdcore.store.locks import lock_file
        from birdcore.text import plain_text
        from flows.review import Review, serve

        order, name = check_order(how), check_name(annotator or getpass.getuser())
        found, root = _found(detections, store, min_conf, audio)
        clips = clips_in_order(found, order, most, seed)
        species = found.drop_duplicates("class").sort_values("common_name")
        classes = dict(zip(species["class"], species["common_name"], strict=True))
        folder = to or (detections if detections.is_dir() else detections.parent) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    with lock_file(folder / f".{name}.lock", wait=False) as ours:
        if not ours:
            raise ValueError(f"another birdflow review writes {path}: end it, or give --annotator")
        table = open_table(path, name)
        if table.cut:
            err.print(f"note: the last line of {path} was cut, and is removed: {table.cut}")
        for (file, code, start_s, _), said in disagreements(
            others(folder, name) | {name: table.verdicts}
        ).items():
            by = ", ".join(f"{who}: {one.other or one.answer}" for who, one in sorted(said.items()))
            out.print(f"differ   {code} in {plain_text(file)} at {start_s:g} s: {by}")
        out.print(f"verdicts {path} ({len(table.verdicts):,} so far)")
        review = Review(clips, {str(c): str(n) or str(c) for c, n in classes.items()}, root, table)
        serve(review, port, lambda address: out.print(f"page     {address}  (Ctrl-C ends it)"))
        for band, (right, judged) in right_by_band(clips, table.verdicts).items():
            low, high = band / BANDS, (band + 1) / BANDS
            out.print(f"confidence {low:.1f} to {high:.1f}: {right:,} of {judged:,} are right")
        out.print(f"{len(table.verdicts):,} clips have a verdict: {path}")


def _found(
    path: Path, store: str, min_conf: float, audio: Path | None
) -> tuple[pd.DataFrame, Path]:
    """Detections, and where their recordings are."""
    from birdcore.detection.cuts import detections_above, root_of
    from birdcore.detection.work import FOLDER as DETECTED
    from flows.result_folder import is_results

    if not is_results(path) or (path / DETECTED).is_dir():
        found = detections_above(path, min_conf)
        return found, root_of(path, audio, found)
    from flows.commands.store import existing_store
    from flows.run_predictions import predicted

    said = predicted(existing_store(store), path, min_conf)
    out.print(f"reviews  {said.source}")
    return said.detections, audio or said.root
