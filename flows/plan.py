"""What a run would do, and why, said before anything runs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from birdcore.artifact import MANIFEST, Artifact, Ref, Step, Store, read_manifest
from flows.dag import Dag


@dataclass(frozen=True)
class Planned:
    """A step, and whether it will run; `why` says so in plain words, also where it is cached."""

    step: Step
    cached: bool
    why: str


def plan(dag: Dag, store: Store) -> list[Planned]:
    """Every step of the DAG, in its order."""
    earlier = _manifests(store, {step.stage for step in dag.steps})
    runs: set[Ref] = set()
    planned = []
    for step in dag.steps:
        cached = store.find(step.ref) is not None
        waits = [ref for refs in step.inputs.values() for ref in refs if ref in runs]
        if cached:
            why = "made before"
        elif store.path(step.ref).exists():
            why = "files missing or cut in the store"
        else:
            why = _difference(step, earlier[step.stage]) or "new"
        if not cached:
            runs.add(step.ref)
            if waits and why.startswith("input"):
                why = f"input changed: {', '.join(sorted({ref.stage for ref in waits}))}"
        planned.append(Planned(step, cached, why))
    return planned


def _manifests(store: Store, stages: set[str]) -> dict[str, list[Artifact]]:
    """All readable artifacts of the stages, the latest last."""
    found: dict[str, list[Artifact]] = defaultdict(list)
    for stage in stages:
        for path in (store.root / stage).glob(f"*/{MANIFEST}"):
            try:
                found[stage].append(Artifact(path.parent, read_manifest(path)))
            except (OSError, ValueError, KeyError, TypeError):
                continue
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
    old, new = dict(_flat(before.config)), dict(_flat(step.config))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"setting {key} changed from {old.get(key)} to {new.get(key)}"
    files_before, files_now = before.sources, step.files
    added = len(files_now.keys() - files_before.keys())
    gone = len(files_before.keys() - files_now.keys())
    changed = sum(files_before.get(k, v) != v for k, v in files_now.items())
    for count, what in ((added, "new"), (gone, "gone"), (changed, "changed")):
        if count:
            yield f"input changed: {count} file{'s' if count > 1 else ''} {what}"
    now = {name: [f"{r.stage}/{r.key}" for r in refs] for name, refs in step.inputs.items()}
    if {k: sorted(v) for k, v in now.items()} != {k: sorted(v) for k, v in before.inputs.items()}:
        names = sorted(k for k in now.keys() | before.inputs.keys()
                       if now.get(k) != before.inputs.get(k))  # fmt: skip
        yield f"input changed: {', '.join(names)}"


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
