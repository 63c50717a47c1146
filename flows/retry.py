"""`birdflow status` shows how runs ended; `birdflow retry` runs one of them again."""

import argparse
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from birdcore.store.runs import Run, run_named, run_to_retry, runs
from birdcore.text import plain_text
from flows.commands import run_asked, store_there
from flows.status import failures, last_runs, running_first, stages
from flows.terminal import out


def status(options: argparse.Namespace) -> None:
    store = store_there(options.store)
    known = running_first(runs(store))
    out.print(last_runs(store, known[: options.last]))
    run = run_named(store, options.name) if options.name or not known else known[0]
    out.print(f"\n{plain_text(run.name)}: {plain_text(run.request.title)}")
    if run.steps:
        out.print(stages(store, run))
    out.print(failures(store, run), end="")


def retry(options: argparse.Namespace) -> None:
    """Print what the run was requested with, and run the same from the same working directory."""
    store = store_there(options.store)
    run = run_to_retry(store, options.name)
    options.store = store.location
    for name, value in _request_lines(run, store.location):
        out.print(f"{name:<11}{plain_text(value)}")
    with suppress(OSError):  # removed: a relative path that needs it fails with its own message
        os.chdir(run.cwd or ".")
    run_asked(run.request, options)


def _request_lines(run: Run, store: str) -> Iterator[tuple[str, str]]:
    request = run.request
    yield "retry of", f"{run.name}, which {run.state}"
    for name, place in (("recipe", request.recipe), ("data", request.data), ("out", request.out)):
        yield name, str(Path(place).absolute())
    yield "collection", str(Path(request.collection).absolute())
    yield "store", store
    yield from (("set", setting) for setting in request.settings)
    yield from [("only", request.only)] if request.only else []
    yield from [("until", request.until)] if request.until else []
    yield from [("from", request.from_stage)] if request.from_stage else []
    yield from (("refresh", what) for what in request.refresh)
