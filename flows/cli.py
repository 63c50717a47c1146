"""The `birdflow` command: what can be asked, and the last floor for what goes wrong."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from birdcore import __version__
from flows import commands
from flows.plain import plain
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
            traceback.print_exc()
        err.print(f"birdflow: {plain(error)}", markup=False)
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
        sub.add_argument("--store", type=Path, default=Path("store"), help="artifact store")
        sub.add_argument(
            "--collection", type=Path, default=Path("collection"),
            help="folder of Xeno-canto recordings",
        )  # fmt: skip
        sub.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="a setting over the recipe's own, such as seed=1 or round.0.epochs=5",
        )  # fmt: skip

    run = command("run", commands.do_run, "Run a recipe: recordings to scored submission.")
    recipe(run)
    run.add_argument("--out", type=Path, default=None, help="results folder (out/RECIPE)")
    run.add_argument("--workers", type=int, default=0, help="tasks at once (one per core)")
    recipe(command("plan", commands.do_plan, "Say what a run would do, and why."))
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
    lineage.add_argument("--store", type=Path, default=Path("store"), help="artifact store")
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
    ui.add_argument("--store", type=Path, default=Path("store"))
    ui.add_argument("--port", type=int, default=4200)
    return parser


if __name__ == "__main__":
    sys.exit(main())
