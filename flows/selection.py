"""Which of a DAG's steps a run is for: all, one stage, a stage and what follows, some of them anew.

    --only mel              what is missing of this stage and can be made, and nothing else
    --from train            this stage and all that follows it, made again
    --refresh mel:0003      one shard (or `train:student`: every model of a round), made again

Remaking changes no key: what follows reads the new files under the old name, and is only made
again where it is asked for too.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from birdcore.store.artifact import Ref, Step
from birdcore.store.store import Store
from flows.dag import Dag

LISTED = 5


@dataclass(frozen=True)
class Chosen:
    """Steps to run, in the order of the DAG, and those that are made though they are there.

    `waiting` are steps of the one stage asked for that read what is not there yet, and `notes`
    what a person should know of what was asked.
    """

    steps: tuple[Step, ...]
    anew: frozenset[Ref] = frozenset()
    waiting: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


def choose(
    dag: Dag,
    store: Store,
    only: str | None = None,
    from_stage: str | None = None,
    refresh: Sequence[str] = (),
    began: str | None = None,
) -> Chosen:
    """What a run is for. `began`: what was made anew since then is not made anew once more.

    Raises ValueError for a stage or shard that is not in the DAG, for both `only` and
    `from_stage`, and where nothing of `only` can be made for want of what earlier stages make.
    """
    stages = tuple(dict.fromkeys(step.stage for step in dag.steps))
    for stage in filter(None, (only, from_stage)):
        _refuse_unknown(stage, stages)
    if only and from_stage:
        raise ValueError("--only and --from exclude each other: the first runs one stage alone")
    asked: set[Ref] = set()
    notes = []
    if from_stage is not None:
        asked |= following(dag, {step.ref for step in dag.steps if step.stage == from_stage})
    for text in refresh:
        named = _named(text, dag, stages)
        asked |= {step.ref for step in named}
        if ":" in text and len(named) > 1:
            notes.append(_means(text, named))
    anew = frozenset(ref for ref in asked if not _made_since(store, ref, began))
    if only is None:
        return Chosen(dag.steps, anew, notes=tuple(notes))
    steps, waiting = _makeable([step for step in dag.steps if step.stage == only], anew, store)
    if waiting:
        notes.append(f"left for want of what earlier stages make: {only} {_listed(waiting)}")
    return Chosen(
        tuple(steps), anew & {step.ref for step in steps}, tuple(waiting), notes=tuple(notes)
    )


def lacking(dag: Dag, store: Store) -> list[Step]:
    """Steps without which a run has no results yet; its page and its score may be missing."""
    needed = [step for step in dag.steps if step.stage not in ("score", "report")]
    return [step for step in needed if store.find(step.ref) is None]


def following(dag: Dag, first: Iterable[Ref]) -> set[Ref]:
    """These artifacts and all that are made of them."""
    found = set(first)
    for step in dag.steps:
        if any(ref in found for refs in step.inputs.values() for ref in refs):
            found.add(step.ref)
    return found


def _named(text: str, dag: Dag, stages: Sequence[str]) -> list[Step]:
    stage, _, words = text.partition(":")
    _refuse_unknown(stage, stages)
    of_stage = [step for step in dag.steps if step.stage == stage]
    found = [step for step in of_stage if all(_fits(w, step) for w in words.split())]
    if not found:
        raise ValueError(f"no step of {stage} goes by {words!r}: there are {_listed(of_stage)}")
    return found


def _means(text: str, steps: Sequence[Step]) -> str:
    """That a few words name several steps, which, and how one is named."""
    one = f"{steps[0].stage}:{_name(steps[0])}"
    return f"{text} means {len(steps)} steps, all made anew: {_listed(steps)}; one is '{one}'"


def _listed(steps: Sequence[Step]) -> str:
    more = f" and {len(steps) - LISTED} more" if len(steps) > LISTED else ""
    return ", ".join(map(_name, steps[:LISTED])) + more


def _name(step: Step) -> str:
    return step.name.removeprefix(f"{step.stage} ")


def _fits(word: str, step: Step) -> bool:
    """Whether a word is one of the step's name, a part of one (`0003`), or how its key begins."""
    return word in re.split(r"[ /]", step.name) + step.name.split() or (
        len(word) >= 6 and step.key.startswith(word)
    )


def _refuse_unknown(stage: str, stages: Sequence[str]) -> None:
    if stage not in stages:
        near = get_close_matches(stage, stages, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"this recipe has no stage {stage}: {meant}there are {', '.join(stages)}")


def _makeable(
    steps: Sequence[Step], anew: Container[Ref], store: Store
) -> tuple[list[Step], list[Step]]:
    """Steps of one stage that are there or can be made, and those that wait for other stages.

    Raises ValueError where some wait, and of the others there is nothing to make.
    """
    there: set[Ref] = set()
    lacking: set[Ref] = set()
    ready, waiting = [], []
    todo = False
    for step in steps:
        inputs = {ref for refs in step.inputs.values() for ref in refs}
        lacks = {ref for ref in inputs - there if store.find(ref) is None}
        done = store.find(step.ref) is not None and step.ref not in anew
        if lacks and not done:
            waiting.append(step)
            lacking |= lacks
        else:
            ready.append(step)
            there.add(step.ref)
            todo = todo or not done
    if waiting and not todo:
        raise ValueError(
            f"{waiting[0].stage} reads {len(lacking)} artifacts that are not in the store (of "
            f"{', '.join(sorted({ref.stage for ref in lacking}))}): run these stages first, or "
            "without --only"
        )
    return ready, waiting


def _made_since(store: Store, ref: Ref, began: str | None) -> bool:
    artifact = store.find(ref) if began is not None else None
    return artifact is not None and began is not None and artifact.manifest.made_at >= began
