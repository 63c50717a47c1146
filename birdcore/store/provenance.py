"""Provenance: what an artifact was made of, as a tree down to recordings, from manifests alone.

Shards of one stage are one node, with their recordings counted together. An artifact that the tree
has shown before is shown without its inputs, so a tree is no longer than the store, however many
models read one teacher.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol, TypeAlias

from birdcore.store.artifact import Manifest, Ref
from birdcore.store.store import Store

Read: TypeAlias = Callable[[Ref], Manifest | None]

SHARD = re.compile(r"[ /]\d{4,}(?= fold \d+$|$)")
FOLD = re.compile(r"([ /]\d{4,})?( fold \d+)?$")
NAMED_ROLES = {"start", "teacher"}
"""Inputs whose role is shown, as the name of a model does not say which of them it is."""

HIDDEN_AT_ZERO = {"rejected", "segments"}
PLURALS = {"recordings", "leaks", "windows", "segments", "rows"}

ALWAYS_SHOWN = ("power", "threshold", "output")
"""Settings of pseudo-labels that are shown also where they are as by default."""


class StageInfo(Protocol):
    """What the tree shows of a stage, as `birdcore.stages.table.STAGES` has it."""

    @property
    def sharded(self) -> bool:
        """Artifacts that differ in their recordings alone are one line."""

    @property
    def counts(self) -> Mapping[str, str]:
        """Metrics to show, each with the word for it."""


@dataclass(frozen=True)
class Node:
    """One artifact, or the shards of a stage that differ in their recordings alone.

    Attributes:
        role: The name of the input by which the artifact above reads it.
        refs: The artifact, or one for each shard.
        title: Its step's name, without the number of the shard.
        settings: Those that tell it from others of its stage, as text.
        counts: Metrics by their names in the tree.
        problem: What is wrong with it in the store; empty where nothing is.
        repeated: The tree has shown it before, so its inputs are left out here.
        inputs: What it was made of.
    """

    role: str
    refs: tuple[Ref, ...]
    title: str
    settings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    repeated: bool = False
    inputs: tuple["Node", ...] = ()


@dataclass(frozen=True)
class _Context:
    """What the walk needs everywhere: where artifacts are, and which settings to leave out."""

    store: Store
    read: Read
    stages: Mapping[str, StageInfo]
    label_defaults: Mapping[str, object]


def provenance_tree(
    store: Store,
    ref: Ref,
    stages: Mapping[str, StageInfo],
    label_defaults: Mapping[str, object] | None = None,
) -> Node:
    """The tree below an artifact.

    Args:
        store: Where it is looked for.
        ref: The artifact; what is missing in the store is a node that says so.
        stages: The table of stages; artifacts of others are shown without counts.
        label_defaults: Settings of pseudo-labels that are left out where they have these values.
    """
    context = _Context(store, cache(store.manifest), stages, label_defaults or {})
    (tree,) = _nodes({"": [ref]}, context, set())
    return tree


def format_provenance(tree: Node) -> str:
    """The tree in lines, with names, short keys, settings and counts.

    Example:
        >>> print(format_provenance(provenance_tree(store, submission, STAGES)))  # doctest: +SKIP
        submission 51c3a2… (36 rows, 26 classes)
        └─ ensemble 0d1f9e… (mean)
           └─ predict ×2 (12 recordings)
    """
    return "\n".join([_line(tree), *_below(tree.inputs)]) + "\n"


def _nodes(
    inputs: Mapping[str, Sequence[Ref]], context: _Context, shown: set[Ref]
) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for role, refs in inputs.items():
        again: list[Node] = []
        found = (_node(role, ref, context) for ref in dict.fromkeys(refs))
        for similar in _similar(found, context):
            again += [node for node in similar if node.refs[0] in shown]
            if new := [node for node in similar if node.refs[0] not in shown]:
                one = _folded(new, SHARD)
                shown.update(one.refs)
                below = _nodes(_inputs_of(one.refs, context.read), context, shown)
                nodes.append(replace(one, inputs=below))
        groups = _grouped(again, lambda node: FOLD.sub("", node.title))
        nodes += [replace(_folded(group, FOLD), repeated=True) for group in groups]
    return tuple(nodes)


def _node(role: str, ref: Ref, context: _Context) -> Node:
    manifest = context.read(ref)
    if manifest is None:
        return Node(role, (ref,), ref.stage, problem="not in the store")
    problem = "" if context.store.find(ref) else "files missing or cut"
    stage = context.stages.get(ref.stage)
    counts = {
        name: manifest.metrics[metric]
        for metric, name in (stage.counts.items() if stage else ())
        if isinstance(manifest.metrics.get(metric), int)
    }
    return Node(role, (ref,), manifest.name, _settings(manifest, context), counts, problem)


def _similar(nodes: Iterable[Node], context: _Context) -> Iterable[list[Node]]:
    """Nodes that are shown together on one line."""
    sharded = {name for name, stage in context.stages.items() if stage.sharded}
    return _grouped(
        nodes,
        lambda node: (
            (SHARD.sub("", node.title), node.settings, node.problem)
            if node.refs[0].stage in sharded
            else node.refs
        ),
    )


def _grouped(nodes: Iterable[Node], kind: Callable[[Node], object]) -> Iterable[list[Node]]:
    groups: dict[object, list[Node]] = defaultdict(list)
    for node in nodes:
        groups[kind(node)].append(node)
    return groups.values()


def _folded(nodes: list[Node], number: re.Pattern[str]) -> Node:
    """One node of all nodes; its title is theirs without the number."""
    first = nodes[0]
    if len(nodes) == 1:
        return first
    counts: Counter[str] = Counter()
    for node in nodes:
        counts.update(node.counts)
    refs = tuple(node.refs[0] for node in nodes)
    return replace(first, refs=refs, title=number.sub("", first.title), counts=dict(counts))


def _inputs_of(refs: Sequence[Ref], read: Read) -> dict[str, list[Ref]]:
    """What the artifacts were made of, all together."""
    inputs: dict[str, list[Ref]] = defaultdict(list)
    for ref in refs:
        if manifest := read(ref):
            for role, names in manifest.inputs.items():
                inputs[role] += map(Ref.named, names)
    return inputs


def _settings(manifest: Manifest, context: _Context) -> tuple[str, ...]:
    """What tells an artifact from others of its stage, beside its name and counts."""
    config = manifest.config
    match manifest.stage:
        case "folds":
            return (f"{config['count']} folds",) if "count" in config else ()
        case "label":
            always = [f"{key} {_word(config[key])}" for key in ALWAYS_SHOWN if key in config]
            return (*always, *_label_settings(config, context))
        case "train":
            return tuple(_training(manifest, context))
        case "ensemble":
            shares = manifest.metrics.get("weights", {}).items()
            chosen = [manifest.metrics["chosen"]] if "chosen" in manifest.metrics else []
            return (*chosen, *(f"{member} {_word(share)}" for member, share in shares))
    return ()


def _training(manifest: Manifest, context: _Context) -> Iterator[str]:
    """From which weights a model was trained, and which models labelled its soundscapes."""
    config, inputs, read = manifest.config, manifest.inputs, context.read
    if config.get("pretrained"):
        yield " ".join(["pretrained", *manifest.sources])
    if starts := inputs.get("start"):
        yield f"start {_rounds(map(Ref.named, starts), read)}"
    if labels := [ref for ref in manifest.reads if ref.stage == "label"]:
        teachers = _inputs_of(labels, read).get("teacher", [])
        yield f"teacher {_rounds(teachers, read) if teachers else 'unknown'}"
        yield from _label_settings(config.get("label", {}), context)


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


def _label_settings(config: Mapping[str, object], context: _Context) -> list[str]:
    """Settings of pseudo-labels that are not as by default."""
    defaults = context.label_defaults
    return [
        f"{name} {_word(value)}"
        for name, value in config.items()
        if name not in ALWAYS_SHOWN and (name not in defaults or value != defaults[name])
    ]


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _times(count: int) -> str:
    return f" ×{count}" if count > 1 else ""


def _line(node: Node) -> str:
    counts = [
        f"{count} {name.removesuffix('s') if count == 1 and name in PLURALS else name}"
        for name, count in node.counts.items()
        if count or name not in HIDDEN_AT_ZERO
    ]
    shown = ", ".join([*counts, *node.settings])
    problem = f": {node.problem}" if node.problem else ""
    return f"{_head(node)}{f' ({shown})' if shown else ''}{problem}"


def _head(node: Node) -> str:
    role = f"{node.role}: " if node.role in NAMED_ROLES else ""
    many = len(node.refs)
    which = f" {node.refs[0].key[:12]}" if many == 1 else _times(many)
    return f"{role}{node.title}{which}"


def _below(nodes: Sequence[Node]) -> Iterator[str]:
    """Lines below one; what was shown before is one line, the last."""
    blocks = [[_line(b), *_below(b.inputs)] for b in nodes if not b.repeated]
    if again := ", ".join(_head(b) for b in nodes if b.repeated):
        blocks.append([f"{again} … see above"])
    for index, (first, *rest) in enumerate(blocks):
        last = index == len(blocks) - 1
        yield f"{'└─' if last else '├─'} {first}"
        yield from (f"{'   ' if last else '│  '}{line}" for line in rest)
