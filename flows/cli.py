"""The `birdflow` command: thin, so that `birdflow plan` and a cached run need no Prefect."""

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from birdcore import __version__
from flows.plain import plain

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

INTERRUPTED = 130
STOPPED = "stopped; the same command goes on where it was"
STOP_S = 5.0
"""After Ctrl-C, so long for steps to end and to be reported; then the process goes, come what may:
what is published is whole."""


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
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        sub.set_defaults(run=run)
        return sub

    def recipe(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("recipe", type=Path, help="a TOML file, such as recipes/mini.toml")
        sub.add_argument("--data", type=Path, required=True, help="a BirdCLEF+ folder")
        sub.add_argument("--store", type=Path, default=Path("store"), help="artifact store")
        sub.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="a setting over the recipe's own, such as seed=1 or round.0.epochs=5",
        )  # fmt: skip

    run = command("run", _run, "Run a recipe: recordings to scored submission.")
    recipe(run)
    run.add_argument("--out", type=Path, default=None, help="results folder (out/RECIPE)")
    run.add_argument("--workers", type=int, default=0, help="tasks at once (one per core)")
    recipe(command("plan", _plan, "Say what a run would do, and why."))
    score = command("score", _score, "Score a submission against a truth file.")
    score.add_argument("submission", type=Path)
    score.add_argument("truth", type=Path)
    score.add_argument("--bootstrap", type=int, default=1000)
    demo = command("demo", _demo, "Write the embedded data set and run the main job on it.")
    demo.add_argument("--dir", type=Path, default=Path("demo"), help="where data and results go")
    ui = command("ui", _ui, "Prefect server, worker and deployments on loopback, until Ctrl-C.")
    ui.add_argument("--store", type=Path, default=Path("store"))
    ui.add_argument("--port", type=int, default=4200)
    return parser


def _run(options: argparse.Namespace) -> None:
    began = time.monotonic()
    if options.workers:
        os.environ["BIRDFLOW_WORKERS"] = str(options.workers)
    target = options.out or Path("out") / options.recipe.stem
    dag, planned, store = _planned(options)
    todo = [p for p in planned if not p.cached]
    out.print(f"{len(planned)} steps, {len(planned) - len(todo)} cached, {len(todo)} to run")
    if todo:
        scores = _run_flow(options, target)
    else:
        from flows.results import write_results

        scores = write_results(dag, store, target)
    _print_scores(scores)
    out.print(f"results  {target / 'summary.md'}, {target / 'submission.csv'}")
    if scores:
        out.print(f"scores   {target / 'scores.json'}")
    out.print(f"took     {time.monotonic() - began:.1f} s")


def _run_flow(options: argparse.Namespace, target: Path) -> dict[str, dict[str, float]]:
    from flows.server import server, ui_of

    with _ends_on_interrupt(), server(options.store) as url:
        out.print(f"UI       {ui_of(url)} while this runs; later: make ui STORE={options.store}")
        _quiet_prefect(options.debug)
        from flows.pipeline import configured
        from tasks.progress import bars_on_terminal

        with bars_on_terminal() if err.is_terminal else nullcontext():
            scores: dict[str, dict[str, float]] = configured()(
                recipe=str(options.recipe),
                data=str(options.data),
                store=str(options.store),
                out=str(target),
                settings=options.set,
            )
            return scores


def _quiet_prefect(debug: bool) -> None:
    """Before Prefect is imported: no tracebacks on the console, and bars instead of lines."""
    if not debug:
        name = "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS"
        os.environ.setdefault(name, "flows.console.PlainConsole")
        if err.is_terminal:
            os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


@contextmanager
def _ends_on_interrupt() -> Iterator[None]:
    """Ctrl-C ends the run in good order within moments, and pressed again at once."""

    def stop(signum: int, frame: FrameType | None) -> None:
        last = threading.Timer(STOP_S, _leave)
        last.daemon = True
        last.start()
        signal.signal(signal.SIGINT, lambda *_: _leave())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave() -> None:
    err.print(STOPPED)
    os._exit(INTERRUPTED)


def _planned(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    from birdcore.catalog.catalog import soundscape_problems
    from birdcore.catalog.source import scan
    from birdcore.recipe import read_recipe
    from birdcore.store import Store
    from flows.dag import build_dag
    from flows.plan import plan

    recipe = read_recipe(options.recipe, options.set)
    store = Store(options.store)
    source = scan(options.data, store)
    for problem in soundscape_problems(source):
        err.print(f"note: {problem.problem}: {problem.where} {problem.detail}", markup=False)
    dag = build_dag(recipe, source, store, keep_shards=False)
    return dag, plan(dag, store), store


def _plan(options: argparse.Namespace) -> None:
    _, planned, _ = _planned(options)
    table = Table("step", "key", "", "why", box=None, pad_edge=False)
    for one in planned:
        state = "cached" if one.cached else "will run"
        table.add_row(one.step.name, one.step.key[:12], state, escape(one.why))
    out.print(table)
    todo = sum(not p.cached for p in planned)
    out.print(f"{len(planned)} steps, {len(planned) - todo} cached, {todo} to run")


def _score(options: argparse.Namespace) -> None:
    import numpy as np

    from birdcore.score import score_files

    scores = score_files(
        options.submission,
        options.truth,
        generator=np.random.default_rng(0),
        rounds=options.bootstrap,
    )
    out.print(
        f"macro ROC-AUC {scores.macro_auc:.6f} (95 % interval {scores.macro_auc_low:.4f} to "
        f"{scores.macro_auc_high:.4f}), cmAP {scores.cmap:.6f}, "
        f"{scores.classes_scored} classes, {scores.rows} rows"
    )


def _demo(options: argparse.Namespace) -> None:
    from importlib.resources import files

    from birdcore.demo.folder import write_folder

    data = options.dir / "data"
    out.print(f"made-up birds sing into {data}")
    write_folder(data)
    recipe = Path(str(files("recipes") / "demo.toml"))
    _run(
        argparse.Namespace(
            recipe=recipe, data=data, store=options.dir / "store", out=options.dir / "out",
            set=[], workers=0, debug=options.debug,
        )
    )  # fmt: skip


def _ui(options: argparse.Namespace) -> None:
    from flows.ui import serve_ui

    serve_ui(options.store, options.port)


def _print_scores(scores: dict[str, dict[str, float]]) -> None:
    if not scores:
        return
    table = Table("", "macro ROC-AUC", "95 % interval", "cmAP", box=None, pad_edge=False)
    for name, s in scores.items():
        interval = f"{s['macro_auc_low']:.4f} to {s['macro_auc_high']:.4f}"
        table.add_row(name, f"{s['macro_auc']:.4f}", interval, f"{s['cmap']:.4f}")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
