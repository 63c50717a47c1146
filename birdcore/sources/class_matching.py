"""Which classes of two sources are one species: by scientific name, or by label where that is all.

Labels are codes of a publisher or words of a person, and two sources that both say `robin` may mean
two birds. So a label counts only where a class has no scientific name of its own.
"""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from birdcore.sources.further import name_key


def match_classes(
    known: pd.DataFrame, found: pd.DataFrame, synonyms: Mapping[str, str]
) -> dict[str, str]:
    """The known class that each found one is; those that are none are missing.

    Args:
        known: Classes, with columns label and scientific_name.
        found: Those of another source.
        synonyms: What is accepted in place of a name, both by `name_key`.

    Example:
        >>> birds = pd.DataFrame({"label": ["eurrob1"], "scientific_name": ["Erithacus rubecula"]})
        >>> own = pd.DataFrame({"label": ["robin"], "scientific_name": ["Erithacus rubecula"]})
        >>> match_classes(birds, own, {})
        {'robin': 'eurrob1'}
    """
    names = [_name(*row, synonyms) for row in _rows(known)]
    # A name that two classes have (sonotypes are all called Insecta) tells neither.
    times = Counter(names)
    by_name = {
        name: label
        for name, (label, _) in zip(names, _rows(known), strict=True)
        if times[name] == 1
    }
    nameless = {label for label, scientific in _rows(known) if _is_label(label, scientific)}
    by_label = {name_key(label): label for label, _ in _rows(known)}
    matched = {}
    for label, scientific in _rows(found):
        same = by_name.get(_name(label, scientific, synonyms))
        if same is None:
            alike = by_label.get(synonyms.get(name_key(label), name_key(label)))
            one_has_no_name = alike in nameless or _is_label(label, scientific)
            same = alike if one_has_no_name else None
        if same is not None:
            matched[label] = same
    return matched


def _rows(species: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(species["label"], species["scientific_name"], strict=True))


def _is_label(label: str, scientific: str) -> bool:
    """Whether a class has no scientific name of its own."""
    return name_key(scientific) in ("", name_key(label))


def _name(label: str, scientific: str, synonyms: Mapping[str, str]) -> str:
    name = name_key(scientific) or name_key(label)
    return synonyms.get(name, name)
