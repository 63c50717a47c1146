"""When which species were detected, and when there was anything to listen to.

Counts alone mislead: a recorder that runs at dawn finds dawn singers. So hours of the day and days
have, beside their detections, the hours of audio that were analysed in them. Times are those of the
recorders' clocks, as they wrote them; detections of recordings without a time are counted apart.

Shapes: N detections, S species, P periods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_DAYS = 400
"""More days than this are put together by month."""
STEPS = 60
"""Most steps of the small chart of one species over all periods."""
UNKNOWN = np.datetime64("NaT", "s")

Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]


@dataclass(frozen=True)
class SpeciesActivity:
    """One species' detections.

    Attributes:
        code: Its class.
        hours: (24,) detections by hour of the day.
        steps: Detections over all periods, in at most `STEPS` equal parts.
        first: When it was detected first, None where no time is known.
    """

    code: str
    scientific_name: str
    common_name: str
    detections: int
    recordings: int
    highest: float
    median: float
    hours: Ints
    steps: Ints
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class Activity:
    """Detections over time.

    Attributes:
        species: From the most to the least often detected.
        hours_of_audio: (24,) what was analysed in each hour of the day.
        unit: "day", or "month" where there are many days.
        span: The first and the last day with audio or a detection, None where no time is known.
        periods: The first day (P,) of each unit in which there is audio or a detection.
        detections, species_in, audio_in: (P,) detections, how many species, hours of audio.
        without_time: Detections of recordings that have no time.
    """

    species: tuple[SpeciesActivity, ...]
    hours_of_audio: NDArray[np.float64]
    unit: str
    span: tuple[str, str] | None
    periods: Times
    detections: Ints
    species_in: Ints
    audio_in: NDArray[np.float64]
    without_time: int


def activity(detections: pd.DataFrame, files: pd.DataFrame) -> Activity:
    """Put detections together by species, hour of the day and day.

    Args:
        detections: As `read_detections` gives them.
        files: As `read_files` gives them.
    """
    begin = _clock(files["recorded_at"])
    seconds = files["seconds"].to_numpy(np.float64)
    hour, audio = _hours_of_audio(begin, seconds)
    since = (detections["start_s"].to_numpy(np.float64)).astype("timedelta64[s]")
    times = _clock(detections["recorded_at"]) + since
    known = ~np.isnat(times)
    of_day = (hour % 24).astype(np.int64)
    days = np.unique(np.concatenate([_days(times[known]), hour // 24])).astype("datetime64[D]")
    unit, starts = _periods(days)
    at = np.full(len(times), -1)
    at[known] = _index(starts, _days(times[known]))
    code = _codes(detections["class"])
    count = len(starts)
    return Activity(
        species=_species(detections, code, times, at, count),
        hours_of_audio=_sums(of_day, audio, 24),
        unit=unit,
        span=(str(days[0]), str(days[-1])) if len(days) else None,
        periods=starts.astype("datetime64[D]"),
        detections=np.bincount(at[known], minlength=count),
        species_in=np.bincount(_pairs(at[known], code[known])[0], minlength=count),
        audio_in=_sums(_index(starts, hour // 24), audio, count),
        without_time=int((~known).sum()),
    )


def clock_time(text: str) -> np.datetime64:
    """What a recorder's clock said, of an ISO 8601 time; "not a time" where it says none."""
    try:
        return np.datetime64(datetime.fromisoformat(text).replace(tzinfo=None), "s")
    except (TypeError, ValueError):
        return UNKNOWN


def _species(
    detections: pd.DataFrame, code: Ints, times: Times, at: Ints, periods: int
) -> tuple[SpeciesActivity, ...]:
    """All species; `at` (N,) is the period of each detection, -1 where its time is not known."""
    classes = [str(name) for name in detections["class"].cat.categories]
    kinds, known = len(classes), at >= 0
    confidence = detections["confidence"].to_numpy(np.float64)
    order = np.lexsort((confidence, code))
    counts = np.bincount(code, minlength=kinds)
    stop = np.cumsum(counts)
    begin = stop - counts
    of_day = (times[known] - times[known].astype("datetime64[D]")).astype(np.int64) // 3600
    hours = np.bincount(code[known] * 24 + of_day, minlength=kinds * 24).reshape(kinds, 24)
    steps = min(periods, STEPS)
    step = at[known] * steps // max(periods, 1)
    over_time = np.bincount(code[known] * steps + step, minlength=kinds * steps)
    recordings = np.bincount(_pairs(code, _codes(detections["file"]))[0], minlength=kinds)
    first, last = _first_and_last(code[known], times[known], kinds)
    scientific, common = (detections[name].array for name in ("scientific_name", "common_name"))
    found = []
    for index in np.flatnonzero(counts).tolist():
        rows = order[begin[index] : stop[index]]
        found.append(
            SpeciesActivity(
                code=classes[index],
                scientific_name=str(scientific[rows[0]]),
                common_name=str(common[rows[0]]),
                detections=int(counts[index]),
                recordings=int(recordings[index]),
                highest=float(confidence[rows[-1]]),
                median=float(np.median(confidence[rows])),
                hours=hours[index],
                steps=over_time[index * steps : (index + 1) * steps],
                first=first[index],
                last=last[index],
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.detections, one.code)))


def _codes(column: "pd.Series[str]") -> Ints:
    """Each row's category, as a number."""
    return np.asarray(column.cat.codes, np.int64)


def _sums(at: Ints, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The sum (count,) of the values at each place."""
    return np.asarray(np.bincount(at, values, count), np.float64)


def _clock(texts: "pd.Series[str]") -> Times:
    """What recorders' clocks said, of a column of categories; no time where it says none."""
    known = np.array([clock_time(text) for text in texts.cat.categories], "datetime64[s]")
    return np.append(known, UNKNOWN)[texts.cat.codes.to_numpy()]


def _hours_of_audio(begin: Times, seconds: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
    """Hours since 1970 in which there is audio, once for each recording, and how much, in hours."""
    known = ~np.isnat(begin) & (seconds > 0)
    start = begin[known].astype(np.int64).astype(np.float64)
    end = start + seconds[known]
    first = np.floor(start / 3600).astype(np.int64)
    count = np.maximum(np.ceil(end / 3600).astype(np.int64) - first, 1)
    of = np.repeat(np.arange(len(first)), count)
    hour = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    audio = np.minimum(end[of], (hour + 1) * 3600.0) - np.maximum(start[of], hour * 3600.0)
    return hour, audio / 3600


def _days(times: Times) -> Ints:
    return times.astype("datetime64[D]").astype(np.int64)


def _periods(days: Times) -> tuple[str, Times]:
    """The unit of time, and the periods of those days."""
    if len(days) <= MOST_DAYS:
        return "day", days
    return "month", np.unique(days.astype("datetime64[M]"))


def _index(periods: Times, days: Ints) -> Ints:
    """Which period each day is in."""
    return np.searchsorted(periods, days.astype("datetime64[D]").astype(periods.dtype))


def _pairs(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """The pairs of numbers that occur, each once."""
    width = int(other.max(initial=0)) + 1
    pairs = np.unique(one * width + other)
    return pairs // width, pairs % width


def _first_and_last(
    code: Ints, times: Times, kinds: int
) -> tuple[Sequence[datetime | None], Sequence[datetime | None]]:
    """The first and last time of each of `kinds`, None where it has none."""
    order = np.lexsort((times, code))
    counts = np.bincount(code, minlength=kinds)
    stop = np.cumsum(counts)
    ordered = times[order].tolist()
    first = [ordered[e - n] if n else None for n, e in zip(counts, stop, strict=True)]
    last = [ordered[e - 1] if n else None for n, e in zip(counts, stop, strict=True)]
    return first, last
