"""A check as lines of text, for a terminal."""

from collections.abc import Iterator, Sequence

from birdcore.check.facts import Check, ClassFacts, Finding
from birdcore.pages.template import audio
from birdcore.text import first_of

CLASSES = 20
"""Classes that are listed; the page lists all."""
NAMES = 5


def lines(check: Check) -> list[str]:
    """What a check found, in plain text; names of files are as they are."""
    said = [f"layout     {check.layout}{f' ({check.why})' * bool(check.why)}"]
    if check.refused:
        said.append(f"unusable   {check.refused}")
    said += [f"recordings {use.name}: {use.recordings:,}, {audio(use.hours)}" for use in check.uses]
    said += _forms(check)
    said += _places(check)
    said += _classes(check.classes)
    said += [f"imbalance  {remark}" for remark in check.imbalances]
    said += _groups(check)
    for title, found in (
        ("damaged", check.damaged),
        ("copies", check.copies),
        ("ignored", check.ignored),
    ):
        said += _findings(title, found)
    if check.usable and not (check.damaged or check.copies or check.ignored):
        said.append("nothing is damaged, ignored or there twice")
    if check.recipe:
        said += ["", "A starter recipe (--write FILE saves it):", ""]
        said += [f"    {line}".rstrip() for line in check.recipe.splitlines()]
    return said


def _forms(check: Check) -> Iterator[str]:
    if check.forms:
        named = [
            f"{times} of {form.format}, {form.rate / 1000:g} kHz, {_channels(form.channels)}"
            for form, times in check.forms
        ]
        yield f"files      {'; '.join(named[:NAMES])}{'; …' * (len(named) > NAMES)}"


def _many(recordings: int) -> str:
    return f"{recordings} recording{'s' * (recordings != 1)}"


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")


def _places(check: Check) -> Iterator[str]:
    places = check.places
    if places.days:
        first, last = places.days
        yield f"time       {first}{f' to {last}' * (last != first)} ({_many(places.timed)})"
    if places.sites:
        yield f"sites      {len(places.sites)}: {first_of(places.sites, NAMES)}"
    if places.recorders:
        yield f"recorders  {first_of(places.recorders, NAMES)}"
    if places.box:
        south, north, west, east = places.box
        yield (
            f"position   {south:.2f} to {north:.2f}° N, {west:.2f} to {east:.2f}° E "
            f"({_many(places.positioned)})"
        )


def _classes(classes: Sequence[ClassFacts]) -> Iterator[str]:
    if not classes:
        return
    yield f"classes    {len(classes)}"
    ordered = sorted(classes, key=lambda each: -each.recordings)
    width = max(len(each.label) for each in ordered[:CLASSES])
    for each in ordered[:CLASSES]:
        parts = [f"{each.clips} clips, {audio(each.hours)}"] if each.clips else []
        if each.events:
            parts.append(f"{each.events} labels with times in {_many(each.annotated)}")
        name = f"  {each.name}" if each.name else ""
        yield f"           {each.label:{width}}  {'; '.join(parts) or 'nothing'}{name}"
    if len(ordered) > CLASSES:
        yield f"           and {len(ordered) - CLASSES} more"


def _groups(check: Check) -> Iterator[str]:
    groups = check.groups
    if groups is None:
        return
    yield f"folds      keep together: {groups}"
    if groups.unscored:
        named = first_of(groups.unscored, NAMES)
        yield f"           in one group alone, so never validated: {named}"


def _findings(title: str, found: Sequence[Finding]) -> Iterator[str]:
    for finding in found:
        yield f"{title:<10} {finding.kind}: {finding.count}"
        for problem in finding.first:
            detail = f" ({problem.detail})" if problem.detail else ""
            yield f"           {problem.where}{detail}"
