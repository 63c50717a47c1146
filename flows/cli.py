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
            "--collection", type=Path, default=Path("collection"),
            help="folder of Xeno-canto recordings",
        )  # fmt: skip
        sub.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="a setting over the recipe's own, such as seed=1 or round.0.epochs=5",
        )  # fmt: skip

    run = command("run", _run, "Run a recipe: recordings to scored submission.")
    recipe(run)
    run.add_argument("--out", type=Path, default=None, help="results folder (out/RECIPE)")
    run.add_argument("--workers", type=int, default=0, help="tasks at once (one per core)")
    recipe(command("plan", _plan, "Say what a run would do, and why."))
    collect = command("collect", _collect, "Fetch what a recipe wants of Xeno-canto.")
    recipe(collect)
    collect.add_argument("--dry-run", action="store_true", help="only say what would be fetched")
    archive = command("archive", _archive, "Serve a folder as Xeno-canto, for tests and the demo.")
    archive.add_argument("dir", type=Path, help="a folder with recordings.json and audio/")
    archive.add_argument("--port", type=int, default=8347)
    archive.add_argument("--faults", type=float, default=0.0, help="share of requests that fail")
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
    recipe, source, store = _read(options)
    if _is_due(recipe, source, options.collection):
        out.print("first there are recordings to be had of Xeno-canto")
        todo = True
    else:
        dag, planned = _planned(options, recipe, source, store)
        todo = not all(p.cached for p in planned)
        out.print(_counts(planned))
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
                collection=str(options.collection),
            )
            return scores


def _collect(options: argparse.Namespace) -> None:
    recipe, source, _ = _read(options)
    if recipe.xeno_canto is None:
        raise ValueError(f"{options.recipe} has no table [xeno_canto]: it says not what to collect")
    if options.dry_run:
        from flows.dry import dry_run

        out.print(dry_run(recipe.xeno_canto, source.csv, options.collection))
        return
    from flows.server import server, ui_of

    with _ends_on_interrupt(), server(options.store) as url:
        out.print(f"UI       {ui_of(url)} while this runs")
        _quiet_prefect(options.debug)
        from flows.collect import collect
        from tasks.progress import bars_on_terminal

        with bars_on_terminal() if err.is_terminal else nullcontext():
            came = collect(
                str(options.recipe), str(options.data), str(options.collection), options.set
            )
    for name, count in came.items():
        out.print(f"{name:<9}{count}")


def _archive(options: argparse.Namespace) -> None:
    from birdcore.demo.archive import serve_archive

    serve_archive(options.dir, port=options.port, fault_rate=options.faults)


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


def _read(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    from birdcore.catalog.source import scan
    from birdcore.recipe import read_recipe
    from birdcore.store import Store

    recipe = read_recipe(options.recipe, options.set)
    store = Store(options.store)
    return recipe, scan(options.data, store), store


def _is_due(recipe, source, collection: Path) -> bool:  # type: ignore[no-untyped-def]
    if recipe.collects is None:
        return False
    from birdcore.collect.selection import competition_of
    from birdcore.collect.wanted import due

    return due(collection, recipe.collects, competition_of(source.csv))


def _planned(options: argparse.Namespace, recipe, source, store):  # type: ignore[no-untyped-def]
    from birdcore.catalog.catalog import soundscape_problems
    from flows.dag import build_dag, gathered
    from flows.plan import plan

    for problem in soundscape_problems(source):
        err.print(f"note: {problem.problem}: {problem.where} {problem.detail}", markup=False)
    found = gathered(recipe, source, options.collection)
    dag = build_dag(recipe, source, store, found, keep_shards=False)
    return dag, plan(dag, store)


def _plan(options: argparse.Namespace) -> None:
    recipe, source, store = _read(options)
    if _is_due(recipe, source, options.collection):
        out.print("first there are recordings to be had of Xeno-canto: birdflow collect --dry-run")
    _, planned = _planned(options, recipe, source, store)
    table = Table("step", "key", "", "why", box=None, pad_edge=False)
    for one in planned:
        state = "cached" if one.cached else "will run"
        table.add_row(one.step.name, one.step.key[:12], state, escape(one.why))
    out.print(table)
    out.print(_counts(planned))


def _counts(planned) -> str:  # type: ignore[no-untyped-def]
    cached = sum(p.cached for p in planned)
    return f"{len(planned)} steps, {cached} cached, {len(planned) - cached} to run"


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
    from flows.demo import RECIPE, demo

    home = options.dir
    out.print(f"made-up birds sing into {home / 'data'} and {home / 'archive'}")
    with demo(home) as settings:
        _run(
            argparse.Namespace(
                recipe=RECIPE, data=home / "data", collection=home / "collection",
                store=home / "store", out=home / "out", set=settings, workers=0,
                debug=options.debug,
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
