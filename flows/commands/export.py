"""`birdflow export`: a run's models as a folder that predicts without birdflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.options import Debug
from flows.terminal import doing, err, out

if TYPE_CHECKING:
    from birdcore.export.bundle_config import BundleConfig
    from birdcore.export.kaggle import KaggleIds

KAGGLE, DRY_RUN = "Kaggle", "Dry run"


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run's results folder (--out); or a bundle, for what else is asked.",
            show_default=False,
        ),
    ],
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="The new folder.", show_default=False),
    ] = None,
    accept_licences: Annotated[
        bool,
        typer.Option(
            "--accept-licences",
            help="Export also where licences of recordings forbid derivatives or are not known.",
        ),
    ] = False,
    single_onnx: Annotated[
        bool,
        typer.Option(
            "--single-onnx",
            help="Add single.onnx: samples in, probabilities and embedding out, for other tools.",
        ),
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="FILE",
            help="Of a run with probes: the TOML that describes their teacher, where that is not "
            "part of birdflow.",
            show_default=False,
        ),
    ] = None,
    without_teacher: Annotated[
        bool,
        typer.Option(
            "--without-teacher",
            help="Of a run with probes: leave their teacher's file out, for whoever predicts to "
            "bring it.",
        ),
    ] = False,
    kaggle: Annotated[
        str | None,
        typer.Option(
            "--kaggle",
            metavar="USER/SLUG",
            help="Lay it out as this data set with an offline notebook.",
            show_default=False,
            rich_help_panel=KAGGLE,
        ),
    ] = None,
    competition: Annotated[
        str | None,
        typer.Option(
            "--competition",
            metavar="SLUG",
            help="The notebook's competition.",
            show_default=False,
            rich_help_panel=KAGGLE,
        ),
    ] = None,
    push: Annotated[
        bool,
        typer.Option(
            "--push",
            help="Upload data set and notebook by the kaggle client.",
            rich_help_panel=KAGGLE,
        ),
    ] = False,
    dry_run: Annotated[
        Path | None,
        typer.Option(
            "--dry-run",
            metavar="SOUNDSCAPES",
            help="Predict these offline in a clean environment, with a clock.",
            show_default=False,
            rich_help_panel=DRY_RUN,
        ),
    ] = None,
    cores: Annotated[
        int,
        typer.Option(
            "--cores",
            metavar="N",
            min=1,
            help="Cores for which the time of 700 minutes of audio is estimated.",
            rich_help_panel=DRY_RUN,
        ),
    ] = 4,
    debug: Debug = False,
) -> None:
    """Export a run's models with a script that predicts without birdflow and torch.

    The folder may be a bundle that was exported before: then only what else is asked is done.
    """
    with doing("exporting"):
        from birdcore.export.bundle_config import is_bundle
        from birdcore.export.kaggle import KaggleIds, find_client, push_bundle
        from birdcore.export.kit.recordings import recordings_of

        ids = KaggleIds.parse(kaggle, competition) if kaggle else None
        if competition and not ids:
            raise ValueError("--competition is the notebook's: give --kaggle USER/SLUG too")
        if dry_run is not None:
            recordings_of(dry_run)
        if push:
            find_client()
        bundle = to or run
        if is_bundle(run):
            if single_onnx:
                raise ValueError(f"{run} is a bundle: --single-onnx needs the weights of a run")
            if teacher or without_teacher:
                raise ValueError(f"{run} is a bundle: give --teacher as its run is exported")
            config = _open(run, to, asked=bool(ids or push or dry_run))
        elif push:
            raise ValueError(
                "--push is for a bundle that has its wheels: export without it, put the wheels "
                "into the bundle, and give the bundle in place of the run"
            )
        else:
            config = _write(
                run,
                to,
                accept_licences=accept_licences,
                single_onnx=single_onnx,
                teacher=teacher,
                without_teacher=without_teacher,
            )
        if ids:
            _lay_out(bundle, config, ids)
        if dry_run is not None:
            _try(bundle, dry_run, cores)
        if push:
            err.print("pushing")
            out.print(push_bundle(bundle))


def _open(bundle: Path, to: Path | None, *, asked: bool) -> "BundleConfig":
    """A bundle that was exported before."""
    from birdcore.export.bundle_config import read_config

    if to is not None:
        raise ValueError(f"{bundle} is a bundle already: leave --to out")
    if not asked:
        raise ValueError(f"{bundle} is a bundle already, and nothing is asked of it: see --help")
    return read_config(bundle)


def _write(run: Path, to: Path | None, **asked: Any) -> "BundleConfig":
    """Export a run as it is asked, and say how."""
    if to is None:
        raise ValueError(f"{run} is exported into a new folder: give --to DIR")
    from birdcore.export.bundle import write_bundle
    from birdcore.export.kit.bundle import TEACHER
    from birdcore.inference.onnx_file import INT8_FILE
    from birdcore.inference.trained_model import FOLDER

    config = write_bundle(run, to, progress=lambda what: err.print(f"exporting {what}"), **asked)
    models = [model for member in config.members.values() for model in member]
    heads = [folder for member in config.probes.values() for folder in member]
    if config.left_out:
        err.print(
            f"note: {', '.join(config.left_out)} is not in the bundle, since an external teacher's "
            "model is not copied: its predictions differ from the run's"
        )
    if any((run / FOLDER).rglob(INT8_FILE)):
        err.print(
            f"note: the run predicts with {INT8_FILE} on CPUs, the bundle in float32: its "
            "predictions differ by what integers change"
        )
    if models:
        differences = [(model.onnx_difference, model.openvino_difference) for model in models]
        full, openvino = map(max, zip(*differences, strict=True))
        out.print(
            f"{_counted(models, 'model')}, {len(config.classes)} classes; probabilities differ "
            f"from torch's by {full:.1e} at most (by OpenVINO: {openvino:.1e})"
        )
    if config.teacher:
        teacher = config.teacher
        out.print(
            f"{_counted(heads, 'head')} on the embeddings of {teacher.name}, "
            f"{len(config.classes)} classes; probabilities differ from birdflow's by "
            f"{teacher.difference:.1e} at most"
        )
        for name, sha in () if teacher.included else teacher.files.items():
            out.print(f"bring    {to / TEACHER / name}, sha256 {sha}")
    out.print(f"bundle   {to}")
    out.print(f"predict  python {to / 'predict.py'} SOUNDSCAPES --out submission.csv")
    return config


def _counted(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"


def _lay_out(bundle: Path, config: "BundleConfig", ids: "KaggleIds") -> None:
    """Make a bundle a data set with a notebook, and say what is still to be done."""
    from birdcore.export.kaggle import WHEELS, download_command, write_kaggle

    write_kaggle(bundle, config, ids)
    out.print(f"data set {ids.dataset_id}, notebook {ids.kernel_id}: {bundle}")
    if not any((bundle / WHEELS).glob("*.whl")):
        out.print(f"wheels   {download_command(bundle)}")
    out.print(f"push     birdflow export {bundle} --push")


def _try(bundle: Path, soundscapes: Path, cores: int) -> None:
    """Predict soundscapes as Kaggle would, and say what it took."""
    from birdcore.export.dry_run import DRY_RUN_FILE, dry_run

    took = dry_run(bundle, soundscapes, cores=cores, progress=err.print)
    out.print(
        f"dry run  {took.recordings} recordings, {took.audio_minutes:g} minutes, with network off "
        f"({took.network}): {took.s_per_audio_hour:.0f} s an hour of audio by {took.threads} "
        f"threads, {took.peak_memory_mb:.0f} MB"
    )
    verdict = f"{took.margin:g} times as fast as needed" if took.fits else "too slow"
    out.print(
        f"         {took.asked_minutes} minutes of audio on {cores} cores: {verdict}, about "
        f"{took.estimated_minutes:.1f} of {took.limit_minutes} minutes (scaled from "
        f"{took.threads} cores; {took.cpu_minutes:.1f} by processor time): {bundle / DRY_RUN_FILE}"
    )
