"""How runs went, and where one stands: read from the store, with no server asked."""

from collections import Counter
from datetime import datetime
from functools import cache
from shlex import quote

from rich.table import Table

from birdcore.artifact import Ref
from birdcore.runs import Run
from birdcore.store import Store

ENDS_WELL = ("running", "completed")


def last_runs(store: Store, runs: list[Run]) -> Table:
    table = Table("run", "asked", "state", "steps", "took", box=None, pad_edge=False)
    find = cache(store.find)  # runs have most of their artifacts in common
    for run in runs:
        there = sum(find(ref) is not None for ref in run.refs)
        steps = f"{there} of {len(run.steps)}"
        table.add_row(run.name, run.asked.title, run.state, steps, _took(run))
    return table


def stages(store: Store, run: Run) -> Table:
    """Steps by stage: cached (made before it began), made, running, failed, to do."""
    counts: dict[str, Counter[str]] = {}
    for name, stage, key in run.steps:
        counts.setdefault(stage, Counter())[_state(store, run, name, Ref(stage, key))] += 1
    table = Table("stage", "", box=None, pad_edge=False)
    for stage, count in counts.items():
        table.add_row(stage, ", ".join(f"{n} {state}" for state, n in count.items()))
    return table


def failures(store: Store, run: Run) -> str:
    """What went wrong, a line each, and the command that goes on with it."""
    lines = [f"{name or 'the run'}: {reason}" for name, reason in run.failed.items()]
    if run.state == "died":
        lines.append("its process died; what it had made is in the store")
    if run.state not in ENDS_WELL:
        lines.append(f"go on: birdflow retry {run.name} --store {quote(store.place)}")
    return "".join(f"{line}\n" for line in lines)


def _state(store: Store, run: Run, name: str, ref: Ref) -> str:
    artifact = store.find(ref)
    if artifact is not None:
        return "made" if artifact.manifest.made_at >= run.began else "cached"
    if store.is_being_made(ref):
        return "running"
    return "failed" if name in run.failed else "to do"


def _took(run: Run) -> str:
    if run.ended is None:
        return ""
    seconds = (datetime.fromisoformat(run.ended) - datetime.fromisoformat(run.began)).seconds
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
