"""What an artifact was made of: a tree down to recordings, out of the store's manifests alone.

Shards of one stage are one branch, with their recordings counted together. Whatever the tree has
told before has no branches the second time, so a tree is no longer than the store, however many
models read one teacher.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TypeAlias

from birdcore.config.round import PseudoLabels
from birdcore.store.artifact import Manifest, Ref
from birdcore.store.manifest import ManifestError, read_manifest
from birdcore.store.regular import refuse_links
from birdcore.store.remote import remote_manifest
from birdcore.store.store import Store

Read: TypeAlias = Callable[[Ref], Manifest | None]

SHARD = re.compile(r"[ /]\d{4,}(?= fold \d+$|$)")
FOLD = re.compile(r"([ /]\d{4,})?( fold \d+)?$")
SHARDED = {"clean", "mel", "fingerprint", "leaks", "external_teacher", "label", "predict"}
SAID = {"start", "teacher"}
"""Inputs that are told by name: which a model is of them, its own name does not say."""

COUNTS = {
    "catalog": {"recordings": "recordings", "usable": "usable", "species": "species"},
    "collection": {"recordings": "recordings", "usable": "usable", "species": "species"},
    "clean": {"recordings": "recordings", "rejected": "rejected"},
    "leaks": {"recordings": "leaks"},
    "external_teacher": {"recordings": "recordings", "windows": "windows"},
    "label": {"recordings": "recordings", "segments": "segments", "kept": "kept"},
    "train": {"trained_on": "trained on", "held_out": "held out", "segments": "segments"},
    "submission": {"rows": "rows", "classes": "classes"},
}
UNSAID_AT_ZERO = {"rejected", "segments"}
PLURALS = {"recordings", "leaks", "windows", "segments", "rows"}

LABEL_DEFAULTS = {**PseudoLabels().model_dump(), "segment_s": 5.0}
ALWAYS = ("power", "threshold", "output")


@dataclass(frozen=True)
class Node:
    """One artifact, or the shards of a stage that differ in their recordings alone.

    `role` is what the artifact above calls it, `trouble` what is wrong with it in the store, and
    `above` says that the tree has told it before, and so no branches here.
    """

    role: str
    refs: tuple[Ref, ...]
    title: str
    settings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""
    above: bool = False
    branches: tuple["Node", ...] = ()


def provenance_tree(store: Store, ref: Ref) -> Node:
    """The tree below an artifact; what is missing in the store is a branch that says so."""
    (tree,) = _branches({"": [ref]}, store, cache(partial(manifest_of, store)), set())
    return tree


def format_provenance(tree: Node) -> str:
    """The tree in lines, with names, short keys, settings and counts."""
    return "\n".join([_line(tree), *_below(tree.branches)]) + "\n"


def manifest_of(store: Store, ref: Ref) -> Manifest | None:
    """What the artifact says of itself, also where other files of it are gone; else None."""
    if (manifest := local_manifest(store, ref)) is not None:
        return manifest
    return remote_manifest(store.remote, ref) if store.remote is not None else None


def local_manifest(store: Store, ref: Ref) -> Manifest | None:
    """What the artifact says of itself on this machine."""
    try:
        refuse_links(store.root, store.path(ref))
        return read_manifest(store.path(ref), ref)
    except (OSError, ManifestError):
        return None


def _branches(
    inputs: Mapping[str, Sequence[Ref]], store: Store, read: Read, told: set[Ref]
) -> tuple[Node, ...]:
    branches: list[Node] = []
    for role, refs in inputs.items():
        again: list[Node] = []
        for alike in _alike(_leaf(role, ref, store, read) for ref in dict.fromkeys(refs)):
            again += [leaf for leaf in alike if leaf.refs[0] in told]
            if new := [leaf for leaf in alike if leaf.refs[0] not in told]:
                one = _folded(new, SHARD)
                told.update(one.refs)
                below = _branches(_inputs_of(one.refs, read), store, read, told)
                branches.append(replace(one, branches=below))
        groups = _grouped(again, lambda leaf: FOLD.sub("", leaf.title))
        branches += [replace(_folded(group, FOLD), above=True) for group in groups]
    return tuple(branches)


def _leaf(role: str, ref: Ref, store: Store, read: Read) -> Node:
    manifest = read(ref)
    if manifest is None:
        return Node(role, (ref,), ref.stage, trouble="not in the store")
    trouble = "" if store.find(ref) else "files missing or cut"
    names = COUNTS.get(ref.stage, {"recordings": "recordings"})
    counts = {
        name: manifest.metrics[fact]
        for fact, name in names.items()
        if isinstance(manifest.metrics.get(fact), int)
    }
    return Node(role, (ref,), manifest.name, _settings(manifest, read), counts, trouble)


def _alike(leaves: Iterable[Node]) -> Iterable[list[Node]]:
    """Leaves that one line tells together."""
    return _grouped(
        leaves,
        lambda leaf: (
            (SHARD.sub("", leaf.title), leaf.settings, leaf.trouble)
            if leaf.refs[0].stage in SHARDED
            else leaf.refs
        ),
    )


def _grouped(leaves: Iterable[Node], kind: Callable[[Node], object]) -> Iterable[list[Node]]:
    groups: dict[object, list[Node]] = defaultdict(list)
    for leaf in leaves:
        groups[kind(leaf)].append(leaf)
    return groups.values()


def _folded(leaves: list[Node], number: re.Pattern[str]) -> Node:
    """One branch of all leaves; its title is theirs without the number."""
    first = leaves[0]
    if len(leaves) == 1:
        return first
    counts: Counter[str] = Counter()
    for leaf in leaves:
        counts.update(leaf.counts)
    refs = tuple(leaf.refs[0] for leaf in leaves)
    return replace(first, refs=refs, title=number.sub("", first.title), counts=dict(counts))


def _inputs_of(refs: Sequence[Ref], read: Read) -> dict[str, list[Ref]]:
    """What the artifacts were made of, all together."""
    inputs: dict[str, list[Ref]] = defaultdict(list)
    for ref in refs:
        if manifest := read(ref):
            for role, names in manifest.inputs.items():
                inputs[role] += map(Ref.named, names)
    return inputs


def _settings(manifest: Manifest, read: Read) -> tuple[str, ...]:
    """What a person wants to know of an artifact beside its name and counts."""
    config = manifest.config
    match manifest.stage:
        case "folds":
            return (f"{config['count']} folds",) if "count" in config else ()
        case "label":
            always = [f"{key} {_word(config[key])}" for key in ALWAYS if key in config]
            return (*always, *_label_settings(config))
        case "train":
            return tuple(_training(manifest, read))
        case "ensemble":
            shares = manifest.metrics.get("weights", {}).items()
            chosen = [manifest.metrics["chosen"]] if "chosen" in manifest.metrics else []
            return (*chosen, *(f"{member} {_word(share)}" for member, share in shares))
    return ()


def _training(manifest: Manifest, read: Read) -> Iterator[str]:
    """What a model began with, and whom its soundscapes' labels are of."""
    config, inputs = manifest.config, manifest.inputs
    if config.get("pretrained"):
        yield " ".join(["pretrained", *manifest.sources])
    if starts := inputs.get("start"):
        yield f"start {_rounds(map(Ref.named, starts), read)}"
    reads = [Ref.named(name) for names in inputs.values() for name in names]
    if labels := [ref for ref in reads if ref.stage == "label"]:
        teachers = _inputs_of(labels, read).get("teacher", [])
        yield f"teacher {_rounds(teachers, read) if teachers else 'unknown'}"
        yield from _label_settings(config.get("label", {}))


def _rounds(models: Iterable[Ref], read: Read) -> str:
    """Rounds of the models, with how many models each has: `supervised ×2`."""
    names = Counter(_round(ref, read(ref)) for ref in dict.fromkeys(models))
    return " and ".join(f"{name}{_times(count)}" for name, count in names.items())


def _round(ref: Ref, model: Manifest | None) -> str:
    if model is None:
        return str(ref)
    config = model.config
    ending = f" {config.get('backbone')} fold {config.get('fold')}"
    return model.name.removeprefix("train ").removesuffix(ending)


def _label_settings(config: Mapping[str, object]) -> list[str]:
    """Settings of pseudo-labels that are not as in a recipe that says nothing of them."""
    return [
        f"{key} {_word(value)}"
        for key, value in config.items()
        if key not in ALWAYS and (key not in LABEL_DEFAULTS or value != LABEL_DEFAULTS[key])
    ]


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _times(count: int) -> str:
    return f" ×{count}" if count > 1 else ""


def _line(branch: Node) -> str:
    counts = [
        f"{count} {name.removesuffix('s') if count == 1 and name in PLURALS else name}"
        for name, count in branch.counts.items()
        if count or name not in UNSAID_AT_ZERO
    ]
    told = ", ".join([*counts, *branch.settings])
    trouble = f": {branch.trouble}" if branch.trouble else ""
    return f"{_head(branch)}{f' ({told})' if told else ''}{trouble}"


def _head(branch: Node) -> str:
    role = f"{branch.role}: " if branch.role in SAID else ""
    many = len(branch.refs)
    which = f" {branch.refs[0].key[:12]}" if many == 1 else _times(many)
    return f"{role}{branch.title}{which}"


def _below(branches: Sequence[Node]) -> Iterator[str]:
    """Lines below one; what was told before is one line, the last."""
    blocks = [[_line(b), *_below(b.branches)] for b in branches if not b.above]
    if again := ", ".join(_head(b) for b in branches if b.above):
        blocks.append([f"{again} … see above"])
    for at, (first, *rest) in enumerate(blocks):
        last = at == len(blocks) - 1
        yield f"{'└─' if last else '├─'} {first}"
        yield from (f"{'   ' if last else '│  '}{line}" for line in rest)
