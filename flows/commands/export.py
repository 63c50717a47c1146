"""`birdflow export`: a run's models as a folder that predicts without birdflow."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import Debug
from flows.terminal import doing, err, out


def export(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run's results folder (--out).", show_default=False),
    ],
    *,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", help="The new folder.", show_default=False),
    ],
    accept_licences: Annotated[
        bool,
        typer.Option(
            "--accept-licences",
            help="Export also where licences of recordings forbid derivatives or are not known.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Export a run's models with a script that predicts without birdflow and torch."""
    with doing("exporting"):
        from birdcore.export.bundle import write_bundle

        config = write_bundle(
            run,
            to,
            accept_licences=accept_licences,
            progress=lambda model: err.print(f"exporting {model}"),
        )
    models = [model for member in config.members.values() for model in member]
    if config.left_out:
        err.print(
            f"note: {', '.join(config.left_out)} is not in the bundle, since an external teacher's "
            "model is not copied: its predictions differ from the run's"
        )
    differences = [(model.onnx_difference, model.openvino_difference) for model in models]
    full, openvino = map(max, zip(*differences, strict=True))
    out.print(
        f"{len(models)} model{'s' if len(models) > 1 else ''}, {len(config.classes)} classes; "
        f"probabilities differ from torch's by {full:.1e} at most (by OpenVINO: {openvino:.1e})"
    )
    out.print(f"bundle   {to}")
    out.print(f"predict  python {to / 'predict.py'} SOUNDSCAPES --out submission.csv")
