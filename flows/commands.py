"""What each `birdflow` command does, and what it says.

Imports are inside of the commands, so that `birdflow plan` and a cached run need no Prefect.
"""

import argparse
import os
import time
from contextlib import nullcontext
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from flows.terminal import ends_on_interrupt, err, out, quiet_prefect


def do_run(options: argparse.Namespace) -> None:
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

    with ends_on_interrupt(), server(options.store) as url:
        out.print(f"UI       {ui_of(url)} while this runs; later: make ui STORE={options.store}")
        quiet_prefect(options.debug)
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


def do_collect(options: argparse.Namespace) -> None:
    recipe, source, _ = _read(options)
    if recipe.xeno_canto is None:
        raise ValueError(f"{options.recipe} has no table [xeno_canto]: it says not what to collect")
    if options.dry_run:
        from flows.dry import dry_run

        out.print(dry_run(recipe.xeno_canto, source.csv, options.collection))
        return
    from flows.server import server, ui_of

    with ends_on_interrupt(), server(options.store) as url:
        out.print(f"UI       {ui_of(url)} while this runs")
        quiet_prefect(options.debug)
        from flows.collect import collect
        from tasks.progress import bars_on_terminal

        with bars_on_terminal() if err.is_terminal else nullcontext():
            came = collect(
                str(options.recipe), str(options.data), str(options.collection), options.set
            )
    for name, count in came.items():
        out.print(f"{name:<10}{count}", soft_wrap=True)


def do_archive(options: argparse.Namespace) -> None:
    from birdcore.demo.archive import serve_archive

    serve_archive(options.dir, port=options.port, fault_rate=options.faults)


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


def do_plan(options: argparse.Namespace) -> None:
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


def do_lineage(options: argparse.Namespace) -> None:
    from birdcore.lineage import lineage, lineage_text
    from birdcore.store import Store
    from flows.lineage import artifact_of

    if not (options.store / "store.json").is_file():  # a store that is not there would be made
        raise ValueError(f"{options.store} is no store: say with --store where it is")
    store = Store(options.store)
    text = lineage_text(lineage(store, artifact_of(store, options.artifact)))
    out.print(text, markup=False, emoji=False, end="")


def do_score(options: argparse.Namespace) -> None:
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


def do_demo(options: argparse.Namespace) -> None:
    from flows.demo import RECIPE, demo

    home = options.dir
    out.print(f"made-up birds sing into {home / 'data'} and {home / 'archive'}")
    with demo(home) as settings:
        do_run(
            argparse.Namespace(
                recipe=RECIPE, data=home / "data", collection=home / "collection",
                store=home / "store", out=home / "out", set=settings, workers=0,
                debug=options.debug,
            )
        )  # fmt: skip


def do_ui(options: argparse.Namespace) -> None:
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
