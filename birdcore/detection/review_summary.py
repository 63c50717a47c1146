"""What verdicts say together: where people differ, and what share is right at each confidence."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from birdcore.detection.choice import BANDS
from birdcore.detection.review_order import Clip
from birdcore.detection.review_table import Verdict, Verdicts, is_verdict_table, read_verdicts
from birdcore.detection.verdicts import Key


def others(folder: Path, annotator: str) -> dict[str, Verdicts]:
    """The verdicts of all other people whose tables lie in a folder, by name; not other tables."""
    paths = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    return {
        path.stem: _as_of(path, path.stat().st_mtime_ns, path.stat().st_size)
        for path in paths
        if path.stem != annotator and is_verdict_table(path)
    }


@lru_cache(64)
def _as_of(path: Path, mtime_ns: int, size: int) -> Verdicts:
    """A table as it is at a time: others' tables are asked for with each verdict."""
    return read_verdicts(path)


def differ(verdicts: Iterable[Verdict]) -> bool:
    """Whether people disagree; who is unsure disagrees with nobody."""
    return len({one for one in verdicts if one.answer != "unsure"}) > 1


def disagreements(tables: Mapping[str, Verdicts]) -> dict[Key, dict[str, Verdict]]:
    """By clip, who says what, where people differ."""
    keys = sorted({key for verdicts in tables.values() for key in verdicts})
    by_clip = {key: {who: v[key] for who, v in tables.items() if key in v} for key in keys}
    return {key: said for key, said in by_clip.items() if differ(said.values())}


def right_by_band(clips: Iterable[Clip], verdicts: Verdicts) -> dict[int, tuple[int, int]]:
    """How many clips are right, of how many that were judged, by band of confidence.

    A band's share is an estimate of precision where clips are at random within it ("balanced"). Who
    is unsure does not judge.

    Returns:
        By band, 0 to `BANDS` - 1, in order.
    """
    found = defaultdict[int, list[bool]](list)
    for clip in clips:
        verdict = verdicts.get(clip.key)
        if verdict is not None and verdict.answer != "unsure":
            band = min(int(clip.confidence * BANDS), BANDS - 1)
            found[band].append(verdict.answer == "yes")
    return {band: (sum(right), len(right)) for band, right in sorted(found.items())}
