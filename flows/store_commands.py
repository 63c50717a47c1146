"""`birdflow store`: list, show and verify artifacts, remove unneeded ones, pin others."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from shlex import quote

from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from birdcore.store.artifact import Manifest, Ref
from birdcore.store.gc import (
    RESULTS,
    Unreachable,
    collect,
    kept_runs,
    reasons,
    remove_damaged,
    unreachable,
)
from birdcore.store.inventory import Entry, damage, entries, measure, trash_bytes, works
from birdcore.store.pins import pin, pins, unpin
from birdcore.store.runs import runs
from birdcore.store.store import Store
from birdcore.store.transfer import remote_refs
from birdcore.text import first_of
from flows.lineage import find_artifact
from flows.terminal import err, out

MAX_NAMES = 3
"""Runs, inputs and the like that are listed by name; the others are counted."""


def ls(store: Store, stage: str | None) -> None:
    known = [e for e in entries(store) if stage in (None, e.ref.stage)]
    if stage is not None:
        if not known:
            raise ValueError(f"there is no artifact of a stage {stage} in {store.root}")
        out.print(_of_stage(store, known))
        return
    out.print(_by_stage(known))
    out.print(_other_contents(store))


def show(store: Store, artifact: str) -> None:
    ref = find_artifact(store, artifact)
    manifest = store.manifest(ref)
    if manifest is None:
        raise ValueError(f"the manifest of {ref} can't be read: birdflow store verify --remove")
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _artifact_lines(store, ref, manifest):
        table.add_row(name, value)
    out.print(table)


def verify(store: Store, artifacts: Sequence[str], *, remove: bool) -> int:
    named = {find_artifact(store, text) for text in artifacts}
    chosen = [e for e in entries(store) if not named or e.ref in named]
    if gone := sorted(named - {entry.ref for entry in chosen}):
        raise ValueError(f"{gone[0]} is not on this machine: there is nothing here to verify")
    damaged = kept = 0
    with _bytes_on_terminal() as bar:
        task = bar.add_task("", total=sum(entry.bytes for entry in chosen))
        for entry in chosen:
            bar.update(task, description=str(entry.ref))
            if wrong := damage(store, entry.ref):
                damaged += 1
                out.print(f"{entry.ref} {entry.name}: {'; '.join(wrong)}")
                if remove and (needed_by := remove_damaged(store, entry.ref)):
                    kept += 1
                    out.print(f"  stays: {first_of(needed_by, MAX_NAMES)} is running and needs it")
            bar.advance(task, entry.bytes)
    read = decimal(sum(entry.bytes for entry in chosen))
    out.print(f"{len(chosen)} artifacts read, {read}: {damaged or 'none'} damaged")
    if damaged and not remove:
        out.print("with --remove the next run makes them again")
    elif damaged > kept:
        out.print(f"{damaged - kept} removed: the next run that needs them makes them again")
    if kept:
        out.print(f"{kept} left: end that run or wait for it, then verify --remove again")
    return 1 if damaged else 0


def gc(store: Store, keep_runs: int, *, yes: bool) -> None:
    trash = trash_bytes(store)
    found = (collect if yes else unreachable)(store, keep_runs)
    total = trash + sum(e.bytes for e in found.entries) + sum(w.bytes for w in found.works)
    out.print(_unreachable_table(found, trash))
    if yes:
        out.print(f"removed {decimal(total)}")
    else:
        where = f"--store {quote(store.location)} --keep-runs {keep_runs}"
        command = f"birdflow store gc {where} --yes"
        out.print(f"this would remove {decimal(total)}; to do it: {command}")


def pin_one(store: Store, artifact: str, why: str) -> None:
    ref = find_artifact(store, artifact)
    pin(store, ref, why)
    out.print(f"{ref} stays, and all that it was made of")


def unpin_one(store: Store, artifact: str) -> None:
    ref = _pinned(store, artifact) or find_artifact(store, artifact)
    unpin(store, ref)
    out.print(f"{ref} stays as long as a run needs it")


def _by_stage(known: Sequence[Entry]) -> Table:
    of_stage: dict[str, list[Entry]] = defaultdict(list)
    for entry in known:
        of_stage[entry.ref.stage].append(entry)
    table = _table("stage", "artifacts>", "files>", "size>", "last made")
    for stage, listed in [*of_stage.items(), ("total", list(known))]:
        files, size = sum(e.files for e in listed), decimal(sum(e.bytes for e in listed))
        last = max((e.made_at for e in listed), default="")
        table.add_row(stage, str(len(listed)), str(files), size, last)
    return table


def _of_stage(store: Store, known: Sequence[Entry]) -> Table:
    why, pinned = reasons(store, kept_runs(runs(store))), pins(store)
    table = _table("made", "key", "name", "size>", "pinned", "needed by")
    for entry in sorted(known, key=lambda e: (e.made_at, e.ref), reverse=True):
        table.add_row(
            entry.made_at,
            entry.ref.key[:12],
            entry.name or "its manifest can't be read",
            decimal(entry.bytes),
            "pinned" if entry.ref in pinned else "",
            first_of(why.get(entry.ref, ["nothing"]), MAX_NAMES),
        )
    return table


def _other_contents(store: Store) -> Table:
    """What a store holds beside artifacts: unfinished work, trash, Prefect's files, pins."""
    names = {Ref(stage, key): name for run in runs(store) for name, stage, key in run.steps}
    table = Table(box=None, pad_edge=False, show_header=False)
    for work in works(store):
        state = "being made" if work.live else "left behind"
        more = ", with a checkpoint" if work.checkpoint else ""
        name = f"{work.ref} {names.get(work.ref, '')}".strip()
        table.add_row(state, name, decimal(work.bytes) + more)
    if store.remote is not None:
        table.add_row("remote", store.remote.url, f"{len(remote_refs(store.remote))} artifacts")
        table.add_row("this machine", str(store.root), "what is listed above")
    home = store.root / "prefect"
    database = sum(path.stat().st_size for path in home.glob("prefect.db*"))
    count, results = measure(store.root / RESULTS)
    table.add_row("trash", "", decimal(trash_bytes(store)))
    table.add_row("Prefect", "database", decimal(database))
    table.add_row("", f"{count} results", decimal(results))
    for ref, pinned in pins(store).items():
        gone = "" if store.find(ref) else " (not in the store)"
        table.add_row("pinned", str(ref), f"{pinned.why}{gone}")
    return table


def _artifact_lines(store: Store, ref: Ref, manifest: Manifest) -> Iterable[tuple[str, str]]:
    """The lines of `show`: a name and a value each."""
    pinned = pins(store).get(ref)
    needed = reasons(store, kept_runs(runs(store))).get(ref, [])
    yield "name", manifest.name
    yield "artifact", f"{ref.stage}/{ref.key}"
    yield "made", f"{manifest.made_at}, in {manifest.took_s:.1f} s, version {manifest.version}"
    yield "pinned", f"since {pinned.since}: {pinned.why}".rstrip(": ") if pinned else "no"
    yield "needed by", ", ".join(needed) or "nothing: birdflow store gc removes it"
    if store.find(ref) is None:
        yield "damaged", f"files are missing or cut: birdflow store verify {ref}"
    yield from _rows("metrics", [f"{key} {json.dumps(v)}" for key, v in manifest.metrics.items()])
    yield from _rows("config", [f"{key} {json.dumps(v)}" for key, v in manifest.config.items()])
    for role, names in manifest.inputs.items():
        refs = [Ref.named(name) for name in names]
        yield f"from {role}", first_of([str(ref) for ref in refs], MAX_NAMES)
        if gone := [str(ref) for ref in refs if store.find(ref) is None]:
            yield "", f"not in the store: {first_of(gone, MAX_NAMES)}"
    if manifest.sources:
        yield "from files", first_of(list(manifest.sources), MAX_NAMES)
    yield from _rows("files", [f"{f.name} {decimal(f.bytes)}" for f in manifest.files])


def _unreachable_table(found: Unreachable, trash: int) -> Table:
    counts, sizes = Counter[str](), Counter[str]()
    for entry in found.entries:
        counts[entry.ref.stage] += 1
        sizes[entry.ref.stage] += entry.bytes
    left = sum(work.bytes for work in found.works)
    table = _table("not needed", "number>", "size>")
    for stage, count in sorted(counts.items()):
        table.add_row(stage, str(count), decimal(sizes[stage]))
    table.add_row("left behind by dead processes", str(len(found.works)), decimal(left))
    table.add_row("trash", "", decimal(trash))
    table.add_row("records of runs", str(len(found.runs)), "")
    table.add_row("results in Prefect's cache", str(len(found.results)), "")
    return table


def _pinned(store: Store, text: str) -> Ref | None:
    """The one pin that a text names, also where its artifact is gone."""
    found = [ref for ref in pins(store) if f"{ref.stage}/{ref.key}".startswith(text)]
    return found[0] if len(found) == 1 else None


def _bytes_on_terminal() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    return Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    )


def _table(*columns: str) -> Table:
    """A table; columns whose name ends in `>` are right-aligned."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        justify = "right" if column.endswith(">") else "left"
        table.add_column(column.removesuffix(">"), justify=justify)  # type: ignore[arg-type]
    return table


def _rows(name: str, lines: Sequence[str]) -> Iterable[tuple[str, str]]:
    yield from ((name if index == 0 else "", line) for index, line in enumerate(lines))
