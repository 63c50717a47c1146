"""`birdflow segments`: sound files of detections, for people who listen to them."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import AudioFolder, Debug, Detections, DrawSeed, LeastConfidence
from flows.terminal import doing, ends_on_interrupt, err, out


def segments(
    detections: Detections,
    *,
    to: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where segments go.", show_default=False),
    ],
    how: Annotated[
        str,
        typer.Option(
            "--choose",
            metavar="HOW",
            help="random, confidence (the surest), or balanced (as many of each tenth of "
            "confidence).",
        ),
    ] = "random",
    most: Annotated[
        int, typer.Option("--max", metavar="N", min=1, help="Segments of one species, at most.")
    ] = 50,
    min_conf: LeastConfidence = 0.0,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            max=60,
            help="Length of a segment, the detection in the middle; of longer detections up to "
            "60 s are cut.",
        ),
    ] = 3.0,
    audio: AudioFolder = None,
    seed: DrawSeed = 0,
    debug: Debug = False,
) -> None:
    """Cut detections out of their recordings, and list them in a table to fill in a verdict.

    A second run adds segments; what is there, and its verdicts, stays.
    """
    with doing("reading detections"):
        from birdcore.detection.choice import check_choice
        from birdcore.detection.cuts import CutSettings, cut_segments

        settings = CutSettings(
            choose=check_choice(how), most=most, min_conf=min_conf, seconds=seconds, seed=seed
        )
    with ends_on_interrupt(), doing(f"cutting segments into {to}"):
        done = cut_segments(detections, to, settings, audio)
    line = f"{done.cut:,} segments of {done.species:,} species"
    out.print(f"{line}; {done.known:,} were there before" if done.known else line)
    for reason, times in done.skipped.items():
        err.print(f"note: {times:,} segments are left out: {reason}")
    out.print(f"table    {done.table}")
