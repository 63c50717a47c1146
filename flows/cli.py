"""The `birdflow` command: what can be asked, and the last floor for what goes wrong."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from birdcore import __version__
from flows import commands
from flows.error_messages import plain
from flows.terminal import INTERRUPTED, STOPPED, err


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        err.print(STOPPED)
        return INTERRUPTED
    except Exception as error:  # the last floor: say it plainly, unless asked for more
        if options.debug:
            err.print(traceback.format_exc(), end="")
        err.print(f"birdflow: {plain(error)}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="birdflow", description="Train bird-sound classifiers.")
    parser.add_argument("--version", action="version", version=f"birdflow {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, about: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=about, description=about)
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        sub.set_defaults(run=run)
        return sub

    def recipe(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("recipe", type=Path, help="a TOML file, such as recipes/mini.toml")
        sub.add_argument("--data", type=Path, required=True, help="a BirdCLEF+ folder")
        sub.add_argument(
            "--store", default="store", help="artifact store: a folder, or s3://bucket/prefix"
        )
        sub.add_argument(
            "--collection", type=Path, default=Path("collection"),
            help="folder of Xeno-canto recordings",
        )  # fmt: skip
        sub.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="a setting over the recipe's own, such as seed=1 or round.0.epochs=5",
        )  # fmt: skip

    def part(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--only", metavar="STAGE", help="what is missing of this stage alone")
        sub.add_argument(
            "--from",
            dest="from_stage",
            metavar="STAGE",
            help="this stage and what follows, made anew",
        )
        sub.add_argument(
            "--refresh", action="append", default=[], metavar="STAGE[:SHARD]",
            help="made anew, such as mel, mel:0003 or 'train:student'",
        )  # fmt: skip

    run = command("run", commands.do_run, "Run a recipe: recordings to scored submission.")
    recipe(run)
    part(run)
    run.add_argument("--out", type=Path, default=None, help="results folder (out/RECIPE)")
    run.add_argument("--workers", type=int, default=0, help="tasks at once (one per core)")
    run.add_argument(
        "--tasks", metavar="WHERE",
        help="where they run: threads, processes, dask[=ADDRESS] or ray[=ADDRESS]",
    )  # fmt: skip
    plan = command("plan", commands.do_plan, "Say what a run would do, and why.")
    recipe(plan)
    part(plan)
    status = command("status", commands.do_status, "Say how the last runs of a store went.")
    retry = command("retry", commands.do_retry, "Go on with a run that did not end well.")
    for sub in (status, retry):
        sub.add_argument("name", nargs="?", metavar="RUN", help="how it begins; the latest")
        sub.add_argument(
            "--store", default="store", help="artifact store: a folder, or s3://bucket/prefix"
        )
    status.add_argument("--last", type=int, default=5, help="runs to show")
    retry.add_argument("--workers", type=int, default=0, help="tasks at once (one per core)")
    retry.set_defaults(tasks=None)
    collect = command("collect", commands.do_collect, "Fetch what a recipe wants of Xeno-canto.")
    recipe(collect)
    collect.add_argument("--dry-run", action="store_true", help="only say what would be fetched")
    archive = command(
        "archive", commands.do_archive, "Serve a folder as Xeno-canto, for tests and the demo."
    )
    archive.add_argument("dir", type=Path, help="a folder with recordings.json and audio/")
    archive.add_argument("--port", type=int, default=8347)
    archive.add_argument("--faults", type=float, default=0.0, help="share of requests that fail")
    lineage = command("lineage", commands.do_lineage, "Say what an artifact was made of.")
    lineage.add_argument(
        "artifact",
        help="STAGE/KEY or how it begins, a path into the store, or a file that a run left",
    )
    lineage.add_argument(
        "--store", default="store", help="artifact store: a folder, or s3://bucket/prefix"
    )
    _store_commands(
        subparsers.add_parser("store", help="Say what a store holds, verify it, make room in it.")
    )
    score = command("score", commands.do_score, "Score a submission against a truth file.")
    score.add_argument("submission", type=Path)
    score.add_argument("truth", type=Path)
    score.add_argument("--bootstrap", type=int, default=1000)
    demo = command(
        "demo", commands.do_demo, "Write the embedded data set and run the main job on it."
    )
    demo.add_argument("--dir", type=Path, default=Path("demo"), help="where data and results go")
    ui = command(
        "ui", commands.do_ui, "Prefect server, worker and deployments on loopback, until Ctrl-C."
    )
    ui.add_argument("--store", default="store", help="whose runs are shown")
    ui.add_argument("--port", type=int, default=4200)
    ui.add_argument(
        "--set-up-only", action="store_true",
        help="register all on the server that is there, and start no workers",
    )  # fmt: skip
    return parser


def _store_commands(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(required=True, metavar="PART")

    def part(name: str, about: str) -> argparse.ArgumentParser:
        sub = parts.add_parser(name, help=about, description=about)
        sub.add_argument(
            "--store", default="store", help="artifact store: a folder, or s3://bucket/prefix"
        )
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        sub.set_defaults(run=commands.do_store, part=name)
        return sub

    artifact = "as `birdflow lineage` names it: STAGE/KEY or how it begins, or a path"
    ls = part("ls", "What there is by stage, what is being made, what was left behind.")
    ls.add_argument("--stage", help="each artifact of this stage, and which runs need it")
    show = part("show", "One artifact: metrics, settings, inputs, files, and who needs it.")
    show.add_argument("artifact", help=artifact)
    verify = part("verify", "Read every byte; exit with 1 where something is damaged.")
    verify.add_argument("artifacts", nargs="*", metavar="artifact", help=f"{artifact}; all")
    verify.add_argument("--remove", action="store_true", help="remove what is damaged")
    gc = part("gc", "Remove what neither the last runs of each recipe nor pins need.")
    gc.add_argument(
        "--keep-runs", type=int, default=5, metavar="N", help="completed runs of each recipe (5)"
    )
    gc.add_argument("--yes", action="store_true", help="do it; without, only say what would go")
    pin = part("pin", "Keep an artifact, and all that it was made of.")
    pin.add_argument("artifact", help=artifact)
    pin.add_argument("--why", default="", metavar="TEXT", help="for whoever asks later")
    unpin = part("unpin", "Keep an artifact only as long as a run needs it.")
    unpin.add_argument("artifact", help=artifact)


if __name__ == "__main__":
    sys.exit(main())
