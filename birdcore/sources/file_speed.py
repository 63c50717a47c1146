"""The speed of all recordings of a run, as their own GUANO chunks say it (`mel.speed = "auto"`).

Crops and windows have one length, in seconds of the files, so recordings of a run have one speed:
two would make a crop of one ten times as long as that of the other.
"""

from collections.abc import Iterable

from birdcore.audio.reading import time_expansion
from birdcore.sources.source import Source


def speed_of_files(sources: Iterable[Source]) -> float:
    """How many times slower than life recordings are; those that don't say it count as 1.

    Raises:
        ValueError: They differ. Both are named.
    """
    first: dict[float, str] = {}
    for source in sources:
        for subset in source.subsets:
            for file in subset.files:
                try:
                    speed = time_expansion(source.root / file.path)
                except OSError:  # cleaning rejects it with the reason
                    continue
                first.setdefault(speed, file.path)
    if len(first) > 1:
        (one, name), (other, another) = list(first.items())[:2]
        raise ValueError(
            f'mel.speed is "auto", and recordings differ: by their GUANO chunks {name} is {one:g} '
            f"times slower than life, {another} {other:g} times. Keep them in folders of their "
            "own, or set mel.speed to one number for all"
        )
    return next(iter(first), 1.0)
