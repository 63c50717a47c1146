"""Events of real Raven tables against detections of them, right, wrong and of other names."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from birdcore.annotations.readers import read_annotations
from birdcore.config import Annotations
from birdcore.detection.scoring import EventScores, score_events
from birdcore.detection.table import Species
from birdcore.metrics import NothingToScore
from birdcore.sources.listing import list_audio

PITTA = Species("noipit1", "Pitta versicolor", "Noisy Pitta")
WREN = Species("suffai", "Malurus cyaneus", "Superb Fairywren")
NAMED = Annotations(label="noisy pitta", complete=True)
Score = Callable[..., EventScores]


@pytest.fixture(scope="module")
def pitta(shared_data: Path) -> Path:
    return shared_data / "field" / "raven-noisy-pitta"


@pytest.fixture(scope="module")
def events(pitta: Path) -> dict[str, list[tuple[float, float, int, float]]]:
    """What a model says that finds each true event .1 s late, by recording."""
    files = sorted(list_audio(pitta.parent, pitta.name).audio)
    names = [file.removeprefix(f"{pitta.name}/") for file in files]
    found: dict[str, list[tuple[float, float, int, float]]] = {name: [] for name in names}
    for each in read_annotations(pitta, names, NAMED).annotations:
        found[each.recording].append((each.start_s + 0.1, each.end_s + 0.1, 0, 0.9))
    return found


def score(out: Path, truth: Path, settings: Annotations = NAMED, **more: Any) -> EventScores:
    return score_events(out, truth, settings, generator=np.random.default_rng(0), **more)


def values(scores: EventScores) -> dict[str, float]:
    return {one.name: one.value for one in scores.evaluation.estimates}


@pytest.mark.parametrize("rtype", ["csv", "parquet", "table"])
def test_events_are_found_in_each_format(
    pitta: Path, events: dict[str, Any], detected: Any, rtype: str
) -> None:
    out = detected(events, species=(PITTA, WREN), rtypes=(rtype,), seconds=60.0)
    scores = score(out, pitta)
    assert scores.labels == ("noipit1",)
    true = sum(map(len, events.values()))
    assert (scores.true, scores.found, scores.outside) == (true, true, 0)
    # recordings below neg/ are annotated with nothing; some below pos/ have no table
    assert scores.recordings >= sum(name.startswith("neg/") for name in events)
    assert values(scores)["F1, micro"] > 0.9
    assert scores.never_found == ()
    table = next(out.glob("detections.*"))
    assert values(score(table, pitta)) == values(scores)


def test_false_and_missed_events_count(pitta: Path, events: dict[str, Any], detected: Any) -> None:
    negative = next(name for name in events if name.startswith("neg/"))
    positive = next(name for name, found in events.items() if found)
    wrong = events | {
        negative: [(1.0, 2.0, 0, 0.3), (4.0, 5.0, 1, 0.8)],
        positive: [(start, start + 0.01, 0, 0.9) for start, *_ in events[positive]],
    }
    out = detected(wrong, species=(PITTA, WREN), seconds=60.0)
    before = score(out, pitta)
    assert before.labels == ("noipit1", "suffai")
    by_class = before.evaluation.by_class
    cut = len(events[positive])
    assert by_class["false_positives"].tolist() == [1 + cut, 1]
    assert by_class["missed"].tolist() == [cut, 0]
    assert values(before)["recall, macro"] == 1 - cut / before.true
    surer = score(out, pitta, threshold=0.5)
    assert surer.evaluation.by_class["false_positives"].tolist() == [cut, 1]
    assert surer.found == before.found - 1


def test_windows_of_fixed_length_find_calls_by_their_share(
    pitta: Path, events: dict[str, Any], detected: Any
) -> None:
    windows = {
        name: sorted({(3.0 * (start // 3), 3.0 * (start // 3) + 3, 0, 0.9) for start, *_ in found})
        for name, found in events.items()
    }
    out = detected(windows, species=(PITTA,), seconds=60.0)
    by_union, by_event = score(out, pitta), score(out, pitta, of="event")
    assert values(by_event)["F1, micro"] > values(by_union)["F1, micro"]


def test_one_table_is_a_truth_as_well(
    pitta: Path, events: dict[str, Any], detected: Any, tmp_path: Path
) -> None:
    out = detected(events, species=(PITTA,), seconds=60.0)
    name = next(name for name, found in events.items() if found)
    (table,) = pitta.glob(f"{name.removesuffix('.flac')}*.txt")
    truth = tmp_path / table.name
    shutil.copy(table, truth)
    scores = score(out, truth)
    silent = sum(name.startswith("neg/") for name in events)
    assert scores.recordings == 1 + silent
    assert scores.true == len(events[name])
    assert scores.outside == sum(map(len, events.values())) - scores.true
    assert score(out, truth, Annotations(label="Pitta versicolor")).labels == ("noipit1",)
    other = score(out, truth, Annotations(label="Tawny Owl"))
    assert other.never_found == ("Tawny Owl",)
    assert values(other)["F1, micro"] == 0


def test_what_can_not_be_scored_says_so(pitta: Path, events: dict[str, Any], detected: Any) -> None:
    out = detected({"other.wav": [(0.0, 1.0, 0, 0.9)]}, species=(PITTA,), folder="other")
    with pytest.raises(NothingToScore, match=r"has no event in the 1 recordings of .*not there"):
        score(out, pitta)
    with pytest.raises(ValueError, match=r"txt:1: no column of labels"):
        score(detected(events, species=(PITTA,)), pitta, Annotations())
