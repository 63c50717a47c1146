"""Detections by species, hour and day, against plain loops."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from birdcore.detection.activity import MOST_DAYS, activity

TEXTS = ("file", "class", "scientific_name", "common_name", "recorded_at", "model")
times = st.one_of(
    st.just(""),
    st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 9)).map(
        lambda time: time.replace(microsecond=0).isoformat() + "+02:00"
    ),
)
events = st.lists(st.tuples(st.integers(0, 90_000), st.sampled_from("abc"), st.integers(1, 99)))
recordings = st.lists(st.tuples(times, st.floats(0, 90_000), events), max_size=6)


def tables(
    recordings: list[tuple[str, float, list[tuple[int, str, int]]]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    detections = pd.DataFrame(
        [
            (f"{n}.wav", float(start), start + 1.0, code, code, f"{code} bird", c / 100, time, "")
            for n, (time, _, found) in enumerate(recordings)
            for start, code, c in found
        ],
        columns=["file", "start_s", "end_s", "class", "scientific_name", "common_name",
                 "confidence", "recorded_at", "model"],
    )  # fmt: skip
    files = pd.DataFrame(
        [(f"{n}.wav", seconds, time) for n, (time, seconds, _) in enumerate(recordings)],
        columns=["file", "seconds", "recorded_at"],
    )
    for table in (detections, files):
        for name in TEXTS:
            if name in table:
                table[name] = table[name].astype(str).astype("category")
    return detections.astype({"start_s": float, "confidence": float}), files


@given(recordings)
def test_counts_are_those_of_loops(
    recordings: list[tuple[str, float, list[tuple[int, str, int]]]],
) -> None:
    found = activity(*tables(recordings))
    rows = [
        (code, n, c / 100, datetime.fromisoformat(time).replace(tzinfo=None) + timedelta(seconds=s))
        for n, (time, _, events) in enumerate(recordings)
        for s, code, c in events
        if time
    ]
    everything = [(code, n, c / 100) for n, r in enumerate(recordings) for _, code, c in r[2]]
    assert found.without_time == len(everything) - len(rows)
    assert {one.code: one.detections for one in found.species} == Counter(e[0] for e in everything)
    hours = Counter((code, time.hour) for code, _, _, time in rows)
    for one in found.species:
        assert [hours[one.code, hour] for hour in range(24)] == one.hours.tolist()
        assert one.recordings == len({n for code, n, _ in everything if code == one.code})
        confidences = [c for code, _, c in everything if code == one.code]
        assert (one.highest, one.median) == (max(confidences), np.median(confidences))
        own = [time for code, *_, time in rows if code == one.code]
        assert (one.first, one.last) == ((min(own), max(own)) if own else (None, None))
        assert one.steps.sum() == len(own)
        assert one.common_name == f"{one.code} bird"
    days = Counter(str(time.date()) for *_, time in rows)
    by_day = dict(zip(map(str, found.periods), found.detections.tolist(), strict=True))
    assert {day: n for day, n in by_day.items() if n} == days
    species_in = dict(zip(map(str, found.periods), found.species_in.tolist(), strict=True))
    for day in days:
        assert species_in[day] == len({code for code, *_, time in rows if str(time.date()) == day})
    audio = sum(seconds for time, seconds, _ in recordings if time) / 3600
    np.testing.assert_allclose([found.hours_of_audio.sum(), found.audio_in.sum()], audio, atol=1e-9)


def test_audio_is_in_the_hours_in_which_it_was_recorded() -> None:
    found = activity(*tables([("2021-05-01T22:30:00Z", 2.25 * 3600, [(5400, "a", 50)])]))
    assert found.hours_of_audio[[22, 23, 0]].tolist() == [0.5, 1.0, 0.75]
    assert found.audio_in.tolist() == [1.5, 0.75]
    assert [str(day) for day in found.periods] == ["2021-05-01", "2021-05-02"]
    assert found.detections.tolist() == [0, 1]
    assert found.span == ("2021-05-01", "2021-05-02")


def test_many_days_become_months() -> None:
    begin = datetime(2020, 1, 31)
    days = [(begin + timedelta(days=n)).isoformat() for n in range(MOST_DAYS + 1)]
    found = activity(*tables([(day, 60.0, [(1, "a", 50)]) for day in days]))
    assert (found.unit, len(found.periods), found.detections.sum()) == ("month", 15, MOST_DAYS + 1)
    assert found.detections[:2].tolist() == [1, 29]
    assert found.span == ("2020-01-31", "2021-03-06")


def test_nothing_is_no_error() -> None:
    found = activity(*tables([]))
    assert (found.species, len(found.periods), found.span) == ((), 0, None)
