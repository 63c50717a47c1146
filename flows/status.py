"""Tables for `birdflow status`: how runs ended and how far one is, from the store alone.

No Prefect server is needed, as records of runs and artifacts are in the store.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from shlex import quote

from rich.table import Table

from birdcore.store.artifact import Ref
from birdcore.store.run_records import Run
from birdcore.store.runs import NO_RETRY
from birdcore.store.store import Store
from birdcore.text import plain_text


def running_first(runs: Sequence[Run]) -> list[Run]:
    """Running ones first, then the others in their order."""
    return sorted(runs, key=lambda run: run.state != "running")


def last_runs(store: Store, runs: list[Run]) -> Table:
    """A line for each run: what was requested, its state, steps that are made, and its time."""
    table = Table("run", "request", "state", "steps", "took", box=None, pad_edge=False)
    find = cache(store.find)  # runs have most of their artifacts in common
    for run in runs:
        there = sum(find(ref) is not None for ref in run.refs)
        steps = f"{there} of {len(run.steps)}" if run.steps else ""
        request = plain_text(run.request.title)
        table.add_row(plain_text(run.name), request, run.state, steps, took(run))
    return table


def stages(store: Store, run: Run) -> Table:
    """A run's steps by stage: cached (made before it began), made, running, failed, to do."""
    counts: dict[str, Counter[str]] = {}
    for name, stage, key in run.steps:
        counts.setdefault(stage, Counter())[_state(store, run, name, Ref(stage, key))] += 1
    table = Table("stage", "", box=None, pad_edge=False)
    for stage, count in counts.items():
        table.add_row(stage, ", ".join(f"{n} {state}" for state, n in count.items()))
    return table


def failures(store: Store, run: Run) -> str:
    """The errors of a run, a line each, and the command that retries it."""
    lines = []
    for name, reason in run.failed.items():
        first, *more = reason.splitlines() or [""]
        lines.append(f"{plain_text(name) or 'the run'}: {plain_text(first)}")
        lines += [f"  {plain_text(line)}" for line in more]
    if run.state == "died":
        lines.append("its process died; what it had made is in the store")
    if run.state not in NO_RETRY:
        lines.append(f"to go on: birdflow retry {quote(run.name)} --store {quote(store.location)}")
    return "".join(f"{line}\n" for line in lines)


def took(run: Run) -> str:
    """How long it has run since it began last; empty where its end is not on record."""
    if run.ended is None and run.state != "running":
        return ""
    try:
        ended = datetime.now(UTC) if run.ended is None else datetime.fromisoformat(run.ended)
        spent = ended - datetime.fromisoformat(run.latest)
    except (ValueError, TypeError):  # no times, or without a zone
        return ""
    return str(max(timedelta(0), timedelta(seconds=spent // timedelta(seconds=1))))


def _state(store: Store, run: Run, name: str, ref: Ref) -> str:
    artifact = store.find(ref)
    if artifact is not None:
        return "made" if artifact.manifest.made_at >= run.began else "cached"
    if store.is_being_made(ref):
        return "running"
    return "failed" if name in run.failed else "to do"
