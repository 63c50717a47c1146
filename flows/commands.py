"""What each `birdflow` command does, and what it says.

Imports are inside of the commands, so that `birdflow plan` and a cached run need no Prefect.
"""

import argparse
import os
import time
from contextlib import nullcontext
from pathlib import Path
from shlex import quote

from rich.markup import escape
from rich.table import Table

from flows.terminal import ends_on_interrupt, err, out, quiet_prefect


def do_run(options: argparse.Namespace) -> None:
    began = time.monotonic()
    if options.workers:
        os.environ["BIRDFLOW_WORKERS"] = str(options.workers)
    if options.tasks:
        os.environ["BIRDFLOW_TASKS"] = options.tasks
    target = options.out or Path("out") / options.recipe.stem
    asked = _asked(options, target)
    recipe, source, store = _read(options)
    if _is_due(recipe, source, options.collection):
        out.print("first there are recordings to be had of Xeno-canto")
        todo = True
    else:
        dag, planned = _planned(options, recipe, source, store, asked)
        todo = not all(p.cached for p in planned)
        out.print(_counts(planned))
    if todo:
        scores = _run_flow(options, asked)
    else:
        from birdcore.runs import recorded
        from flows.results import write_results

        with recorded(store, asked, dag.steps):
            scores = write_results(dag, store, target)
    _print_scores(scores)
    if scores is None:
        out.print("results  none yet: the recipe has steps that were never run")
    else:
        out.print(f"results  {target / 'summary.md'}, {target / 'submission.csv'}")
        out.print(f"page     {target / 'report' / 'index.html'}")
    if scores:
        out.print(f"scores   {target / 'scores.json'}")
    out.print(f"took     {time.monotonic() - began:.1f} s")


def _asked(options: argparse.Namespace, target: Path):  # type: ignore[no-untyped-def]
    from birdcore.runs import Asked

    return Asked(
        recipe=str(options.recipe),
        data=str(options.data),
        out=str(target),
        collection=str(options.collection),
        settings=tuple(options.set),
        only=options.only,
        since=options.since,
        refresh=tuple(options.refresh),
    )


def _run_flow(options: argparse.Namespace, asked) -> dict[str, dict[str, float]] | None:  # type: ignore[no-untyped-def]
    from birdcore.place import folder_of
    from flows.server import server, ui_of

    quiet_prefect(options.debug)
    with ends_on_interrupt(), server(folder_of(options.store)) as url:
        later = f"make ui STORE={quote(options.store)}"
        out.print(f"UI       {ui_of(url)} while this runs; later: {later}")
        from prefect import tags

        from flows.pipeline import pipeline
        from tasks.progress import bars_on_terminal

        with tags("birdflow"), bars_on_terminal() if err.is_terminal else nullcontext():
            scores: dict[str, dict[str, float]] | None = pipeline(
                recipe=asked.recipe,
                data=asked.data,
                store=options.store,
                out=asked.out,
                settings=list(asked.settings),
                collection=asked.collection,
                only=asked.only,
                since=asked.since,
                refresh=list(asked.refresh),
            )
            return scores


def do_status(options: argparse.Namespace) -> None:
    from birdcore.runs import run_named, runs
    from flows.status import failures, last_runs, stages

    store = _store_there(options.store)
    out.print(last_runs(store, runs(store)[: options.last]))
    run = run_named(store, options.name)
    out.print(f"\n{run.name}: {run.asked.title}", markup=False)
    out.print(stages(store, run))
    out.print(failures(store, run), markup=False, end="")


def do_retry(options: argparse.Namespace) -> None:
    from birdcore.runs import run_named

    run = run_named(_store_there(options.store), options.name)
    asked = run.asked
    out.print(f"again    {run.name}: {asked.title}", markup=False)
    do_run(
        argparse.Namespace(
            recipe=Path(asked.recipe), data=Path(asked.data), out=Path(asked.out),
            collection=Path(asked.collection), store=options.store, set=list(asked.settings),
            only=asked.only, since=asked.since, refresh=list(asked.refresh),
            workers=options.workers, tasks=options.tasks, debug=options.debug,
        )
    )  # fmt: skip


def do_collect(options: argparse.Namespace) -> None:
    recipe, source, _ = _read(options)
    if recipe.xeno_canto is None:
        raise ValueError(f"{options.recipe} has no table [xeno_canto]: it says not what to collect")
    if options.dry_run:
        from flows.dry import dry_run

        out.print(dry_run(recipe.xeno_canto, source.csv, options.collection))
        return
    from birdcore.place import folder_of
    from flows.server import server, ui_of

    quiet_prefect(options.debug)
    with ends_on_interrupt(), server(folder_of(options.store)) as url:
        out.print(f"UI       {ui_of(url)} while this runs")
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
    from birdcore.place import open_store
    from birdcore.recipe import read_recipe

    recipe = read_recipe(options.recipe, options.set)
    store = open_store(options.store)
    return recipe, scan(options.data, store), store


def _store_there(place: str):  # type: ignore[no-untyped-def]
    from birdcore.place import is_url, open_store

    if not is_url(place) and not (Path(place) / "store.json").is_file():  # it would be made
        raise ValueError(f"{place} is no store: say with --store where it is")
    return open_store(place, make=False)


def _is_due(recipe, source, collection: Path) -> bool:  # type: ignore[no-untyped-def]
    if recipe.collects is None:
        return False
    from birdcore.collect.selection import competition_of
    from birdcore.collect.wanted import due

    return due(collection, recipe.collects, competition_of(source.csv))


def _planned(options: argparse.Namespace, recipe, source, store, asked):  # type: ignore[no-untyped-def]
    from birdcore.catalog.catalog import soundscape_problems
    from birdcore.runs import unfinished_since
    from flows.chosen import choose
    from flows.dag import build_dag, gathered
    from flows.plan import plan

    for problem in soundscape_problems(source):
        err.print(f"note: {problem.problem}: {problem.where} {problem.detail}", markup=False)
    found = gathered(recipe, source, options.collection)
    dag = build_dag(recipe, source, store, found, keep_shards=False)
    began = unfinished_since(store, asked)
    chosen = choose(dag, store, options.only, options.since, options.refresh, began)
    return dag, plan(chosen, store)


def do_plan(options: argparse.Namespace) -> None:
    recipe, source, store = _read(options)
    if _is_due(recipe, source, options.collection):
        out.print("first there are recordings to be had of Xeno-canto: birdflow collect --dry-run")
    asked = _asked(options, Path())
    _, planned = _planned(options, recipe, source, store, asked)
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
    from flows.lineage import artifact_of

    store = _store_there(options.store)
    text = lineage_text(lineage(store, artifact_of(store, options.artifact)))
    out.print(text, markup=False, emoji=False, end="")


def do_store(options: argparse.Namespace) -> int | None:
    from flows.shelf import COMMANDS

    return COMMANDS[options.part](_store_there(options.store), options)


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
                store=str(home / "store"), out=home / "out", set=settings, workers=0, tasks=None,
                only=None, since=None, refresh=[], debug=options.debug,
            )
        )  # fmt: skip


def do_ui(options: argparse.Namespace) -> None:
    from birdcore.place import folder_of
    from flows.ui import serve_ui

    serve_ui(folder_of(options.store), options.port, set_up_only=options.set_up_only)


def _print_scores(scores: dict[str, dict[str, float]] | None) -> None:
    if not scores:
        return
    table = Table("", "macro ROC-AUC", "95 % interval", "cmAP", box=None, pad_edge=False)
    for name, s in scores.items():
        interval = f"{s['macro_auc_low']:.4f} to {s['macro_auc_high']:.4f}"
        table.add_row(name, f"{s['macro_auc']:.4f}", interval, f"{s['cmap']:.4f}")
    out.print(table)
