"""Which steps of a DAG a run is for: all of them, a part, and what is made again.

    --only mel              what is missing of this stage and can be made, and nothing else
    --until mel             this stage and all that it needs
    --from train            this stage and all that follows it, made again
    --refresh mel:0003      one shard (or `train:student`: every model of a round), made again

A part is named by its stage, by words of a step's name (`mel:0003`), by the step's whole name as
a plan prints it (`mel train_audio/0003`), or by its key (`d70d42167b75`).

Making an artifact again changes no key: what follows reads the new files under the old name, and
is only made again where that is requested too.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from birdcore.store.artifact import Ref, Step
from birdcore.store.run_records import RunRequest
from birdcore.store.store import Store
from birdcore.text import first_of
from flows.dag import Dag

LISTED = 5
"""Steps that a message names."""
KEY_PREFIX = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Selection:
    """The steps that a run is for.

    Attributes:
        steps: Steps to run, in the order of the DAG.
        rebuild: Those that are made though they are in the store.
        waiting: Requested steps that read what is not in the store yet.
        notes: What the user should know about it.
    """

    steps: tuple[Step, ...]
    rebuild: frozenset[Ref] = frozenset()
    waiting: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


def select(dag: Dag, store: Store, request: RunRequest, began: str | None = None) -> Selection:
    """The steps that a run is for.

    Args:
        dag: All steps.
        store: What is there already.
        request: What to run: its `only`, `until`, `from_stage` and `refresh` count.
        began: When an unfinished run of the same request began, in ISO 8601: what was made
            again since then is not made once more.

    Raises:
        ValueError: A name is of no step, two of the options exclude each other, or nothing of
            `only` can be made before earlier stages have run.
    """
    only, until, from_stage = request.only, request.until, request.from_stage
    if only and (from_stage or until):
        other = "--from" if from_stage else "--until"
        raise ValueError(f"--only and {other} exclude each other: the first runs one stage alone")
    requested, notes = _to_rebuild(dag, request)
    rebuild = frozenset(ref for ref in requested if not _made_since(store, ref, began))
    steps, waiting = list(dag.steps), list[Step]()
    if until:
        needed = needed_by(dag, {step.ref for step in _named(until, dag)})
        steps = [step for step in dag.steps if step.ref in needed]
    if only:
        steps, waiting = _makeable(_named(only, dag), rebuild, store)
    if waiting:
        notes.append(f"left until earlier stages have run: {waiting[0].stage} {_listed(waiting)}")
    selected = rebuild & {step.ref for step in steps}
    return Selection(tuple(steps), selected, tuple(waiting), tuple(notes))


def lacking(dag: Dag, store: Store) -> list[Step]:
    """Steps without which a run has no results yet; its page and its score may be missing."""
    needed = [step for step in dag.steps if step.stage not in ("score", "report")]
    return [step for step in needed if store.find(step.ref) is None]


def following(dag: Dag, first: Iterable[Ref]) -> set[Ref]:
    """These artifacts and all that are made of them."""
    found = set(first)
    for step in dag.steps:
        if not found.isdisjoint(step.reads):
            found.add(step.ref)
    return found


def needed_by(dag: Dag, last: Iterable[Ref]) -> set[Ref]:
    """These artifacts and all that they are made of."""
    found = set(last)
    for step in reversed(dag.steps):
        if step.ref in found:
            found.update(step.reads)
    return found


def _to_rebuild(dag: Dag, request: RunRequest) -> tuple[set[Ref], list[str]]:
    """What is requested to be made again, and notes about it."""
    requested: set[Ref] = set()
    notes = []
    if request.from_stage:
        requested |= following(dag, {step.ref for step in _named(request.from_stage, dag)})
    for text in request.refresh:
        named = _named(text, dag)
        requested |= {step.ref for step in named}
        if ":" in text and len(named) > 1:
            notes.append(_several(text, named))
    return requested, notes


def _named(text: str, dag: Dag) -> list[Step]:
    """The steps that a text names: a stage, STAGE:WORDS, a step's name, or how a key begins."""
    if KEY_PREFIX.fullmatch(text) and (of_key := [s for s in dag.steps if s.key.startswith(text)]):
        return of_key
    if by_name := [step for step in dag.steps if step.name == text]:
        return by_name
    stage, *words = re.split(r"[: ]+", text.strip())
    if stage not in dag.stages:
        near = get_close_matches(stage, dag.stages, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = ", ".join(dag.stages)
        raise ValueError(f"this recipe has no stage {stage}: {hint}there are {known}")
    of_stage = dag.of(stage)
    found = [step for step in of_stage if all(_fits(word, step) for word in words)]
    if not found:
        name = " ".join(words)
        raise ValueError(f"no step of {stage} has the name {name!r}: there are {_listed(of_stage)}")
    return found


def _fits(word: str, step: Step) -> bool:
    """Whether a word is one of the step's name, a part of one (`0003`), or how its key begins."""
    return word in re.split(r"[ /]", step.name) + step.name.split() or (
        KEY_PREFIX.fullmatch(word) is not None and step.key.startswith(word)
    )


def _several(text: str, steps: Sequence[Step]) -> str:
    """A note that a few words name several steps, which, and how one alone is named."""
    one = f"{steps[0].stage}:{_short_name(steps[0])}"
    return f"{text} means {len(steps)} steps, all made again: {_listed(steps)}; one is '{one}'"


def _listed(steps: Sequence[Step]) -> str:
    return first_of([_short_name(step) for step in steps], LISTED)


def _short_name(step: Step) -> str:
    return step.name.removeprefix(f"{step.stage} ")


def _makeable(
    steps: Sequence[Step], rebuild: Container[Ref], store: Store
) -> tuple[list[Step], list[Step]]:
    """Steps of one stage that are there or can be made, and those that wait for other stages.

    Raises:
        ValueError: Some wait, and of the others there is nothing to make.
    """
    there: set[Ref] = set()
    missing: set[Ref] = set()
    ready, waiting = [], []
    to_make = False
    for step in steps:
        lacks = {ref for ref in {*step.reads} - there if store.find(ref) is None}
        done = store.find(step.ref) is not None and step.ref not in rebuild
        if lacks and not done:
            waiting.append(step)
            missing |= lacks
        else:
            ready.append(step)
            there.add(step.ref)
            to_make = to_make or not done
    if waiting and not to_make:
        stage = waiting[0].stage
        raise ValueError(
            f"{stage} reads {len(missing)} artifacts that are not in the store (of "
            f"{', '.join(sorted({ref.stage for ref in missing}))}): say --until {stage} to make "
            "them too"
        )
    return ready, waiting


def _made_since(store: Store, ref: Ref, began: str | None) -> bool:
    artifact = store.find(ref) if began is not None else None
    return artifact is not None and began is not None and artifact.manifest.made_at >= began
