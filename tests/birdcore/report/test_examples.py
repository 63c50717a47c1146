from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.report.clips import SOUND_RATE
from birdcore.report.evaluation import Evaluation
from birdcore.report.examples import OF_CUTS, OF_EACH, select_cuts, select_examples


def evaluation(
    truth: np.ndarray, p: np.ndarray, recordings: tuple[str, ...] | None = None
) -> Evaluation:
    names = recordings or tuple(f"r{row}" for row in range(len(truth)))
    classes = tuple(f"c{column}" for column in range(truth.shape[1]))
    return Evaluation(names, (0.0,) * len(truth), 5, classes, truth, p, {})


def test_hits_misses_and_false_alarms_are_the_most_telling() -> None:
    rng = np.random.default_rng(0)
    truth, p = rng.random((200, 12)) < 0.2, rng.random((200, 12))
    found = select_examples(evaluation(truth, p))
    for kind, cells in found.items():
        rows, columns = zip(*cells, strict=True)
        assert len(set(rows)) == len(set(columns)) == OF_EACH, kind
        assert [truth[cell] for cell in cells] == [kind != "false alarms"] * OF_EACH
    first = {kind: p[cells[0]] for kind, cells in found.items()}
    assert first == {
        "hits": p[truth].max(), "misses": p[truth].min(), "false alarms": p[~truth].max()
    }  # fmt: skip


def test_nothing_is_a_hit_and_a_miss() -> None:
    truth, p = np.eye(3, dtype=bool), np.full((3, 3), 0.5)
    found = select_examples(evaluation(truth, p))
    assert len(found["hits"]) == 2
    assert len(found["misses"]) == 1
    assert not set(found["hits"]) & set(found["misses"])


def test_what_is_not_there_is_not_shown() -> None:
    truth, p = np.eye(3, dtype=bool), np.eye(3)
    found = select_examples(evaluation(truth, p, ("", "r1", "")))
    assert {row for cells in found.values() for row, _ in cells} == {1}


def test_cuts_are_from_the_longest_to_the_shortest_of_a_recording_each() -> None:
    rows = [(f"r{n}", "cut", 1.0, 2.0 + n, "speech") for n in range(30)]
    rows += [("r3", "cut", 0.0, 0.5, "override"), ("elsewhere", "cut", 0.0, 99.0, "speech")]
    table = pd.DataFrame(rows, columns=["recording", "action", "from", "to", "by"])
    cuts = select_cuts(table, {f"r{n}" for n in range(30)})
    assert [cut.recording for cut in cuts][:: OF_CUTS - 1] == ["r29", "r0"]
    lengths = [cut.end_s - cut.start_s for cut in cuts]
    assert lengths == sorted(lengths, reverse=True)
    assert len({cut.recording for cut in cuts}) == OF_CUTS
    assert [cut.start_s for cut in select_cuts(table, {"r3"})] == [1.0]
    assert select_cuts(table, set()) == []


def test_each_sound_is_a_few_seconds_that_can_be_played(made: Any) -> None:
    sounds = sorted((made.page / "sounds").iterdir())
    assert sounds
    for path in sounds:
        samples, rate = sf.read(path)
        assert rate == SOUND_RATE
        assert 1 < len(samples) / rate < 10.5
        assert 0.3 < np.abs(samples).max() <= 1
    cut, rate = sf.read(made.page / "sounds" / "cut-1.mp3")
    assert len(cut) / rate == pytest.approx(1.0 + 1.5 + 1.0, abs=0.1)
