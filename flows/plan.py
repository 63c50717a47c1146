"""What a run would do, and why, said before anything runs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from birdcore.store.artifact import MANIFEST, Artifact, Ref, Step
from birdcore.store.store import Store
from flows.selection import Selection


@dataclass(frozen=True)
class Planned:
    """A step, and whether it will run; `why` says so in plain words, also where it is cached."""

    step: Step
    cached: bool
    why: str


def plan(selection: Selection, store: Store) -> list[Planned]:
    """Every step that is selected, in the DAG's order."""
    earlier = _manifests(store, {step.stage for step in selection.steps})
    planned = []
    for step in selection.steps:
        cached = store.find(step.ref) is not None
        if step.ref in selection.rebuild:
            cached, why = False, "made again, as asked for"
        elif cached:
            why = "made before"
        elif store.path(step.ref).exists():
            why = "files missing or cut in the store"
        else:
            why = _difference(step, earlier[step.stage]) or "new"
        planned.append(Planned(step, cached, why))
    return planned


def _manifests(store: Store, stages: set[str]) -> dict[str, list[Artifact]]:
    """All readable artifacts of the stages, the latest last."""
    found: dict[str, list[Artifact]] = defaultdict(list)
    for stage in stages:
        for path in (store.root / stage).glob(f"*/{MANIFEST}"):
            ref = Ref.of(stage, path.parent.name)
            if ref is not None and (manifest := store.local_manifest(ref)) is not None:
                found[stage].append(Artifact(path.parent, manifest))
        found[stage].sort(key=lambda artifact: artifact.manifest.made_at)
    return found


def _difference(step: Step, earlier: list[Artifact]) -> str | None:
    """How the step differs from the most alike of those made before under its name."""
    alike = [a for a in earlier if a.manifest.name == step.name]
    if not alike:
        return None
    differences = [list(_differences(step, artifact)) for artifact in reversed(alike)]
    fewest = min(differences, key=lambda found: len(found))
    return "; ".join(fewest) or None


def _differences(step: Step, artifact: Artifact) -> Iterator[str]:
    before = artifact.manifest
    if step.version != before.version:
        yield f"stage version changed from {before.version} to {step.version}"
    defaults = dict(_flat(step.defaults))
    old, new = dict(_flat(before.config)), dict(_flat(step.config))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key, defaults.get(key)) == new.get(key, defaults.get(key)):
            continue  # also one that was not there yet, and is off
        if key.startswith("overrides."):
            yield f"input changed: overrides of {key.removeprefix('overrides.')}"
        else:
            yield f"setting {key} changed from {_short(old.get(key))} to {_short(new.get(key))}"
    yield from _changed_files(before.sources, step.files)
    yield from _changed_inputs(before.inputs, step.inputs)


def _changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    added = len(now.keys() - before.keys())
    gone = len(before.keys() - now.keys())
    changed = sum(now[path] != sha for path, sha in before.items() if path in now)
    for count, what in ((added, "new"), (gone, "gone"), (changed, "changed")):
        if count:
            yield f"input changed: {count} file{'s' if count > 1 else ''} {what}"


def _changed_inputs(
    before: Mapping[str, list[str]], now: Mapping[str, tuple[Ref, ...]]
) -> Iterator[str]:
    named = {name: [f"{r.stage}/{r.key}" for r in refs] for name, refs in now.items()}
    if named == before:
        return
    old = {ref for refs in before.values() for ref in refs}
    new = {ref for refs in named.values() for ref in refs}
    stages = sorted({ref.partition("/")[0] for ref in old ^ new})
    yield f"input changed: {', '.join(stages) or 'names or order'}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted key; those of a mel's spec go by their own names."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, "" if key == "spec" else f"{prefix}{key}.")
        else:
            # As a manifest has it, which knows no tuples.
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
