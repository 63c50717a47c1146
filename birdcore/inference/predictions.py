"""Predictions as a typed table, and the formats in which it is written.

Every predictor gives this table: a run's ensemble, one model, or a model of somebody else. To add
a format, write a function `(path, predictions) -> None`, list it in `WRITERS`, and allow its name
in a recipe (`birdcore.config.recipe.FormatName`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Probabilities of K classes in N segments of recordings.

    Attributes:
        recordings: The recording of each segment (N,), by its name or path.
        start_s: Where each segment begins (N,), seconds.
        end_s: Where each segment ends (N,), seconds.
        classes: The names of the classes (K,).
        probabilities: (N, K), 0 to 1.
        row_ids: What a submission calls the segments (N,); NAME_END by default, such as
            `soundscape_5`.

    Raises:
        ValueError: The columns are not of one length.
    """

    recordings: tuple[str, ...]
    start_s: Floats
    end_s: Floats
    classes: tuple[str, ...]
    probabilities: Floats
    row_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.recordings)
        if not (len(self.start_s) == len(self.end_s) == rows) or self.probabilities.shape != (
            rows,
            len(self.classes),
        ):
            raise ValueError(
                f"{rows} recordings, {len(self.start_s)} starts, {len(self.end_s)} ends and "
                f"{len(self.classes)} classes do not fit probabilities "
                f"of shape {self.probabilities.shape}"
            )

    def wide(self) -> pd.DataFrame:
        """A row for each segment: recording, start and end (seconds), a column for each class."""
        table = pd.DataFrame(self.probabilities, columns=list(self.classes))
        times = {"recording": self.recordings, "start": self.start_s, "end": self.end_s}
        return pd.concat([pd.DataFrame(times), table], axis=1)

    def long(self, threshold: float = 0.0) -> pd.DataFrame:
        """A row for each segment and class with a probability of at least `threshold`.

        Columns: recording, start, end, class, confidence; by segment, then by class.
        """
        segment, label = np.nonzero(self.probabilities >= threshold)
        return pd.DataFrame(
            {
                "recording": np.asarray(self.recordings, object)[segment],
                "start": self.start_s[segment],
                "end": self.end_s[segment],
                "class": np.asarray(self.classes, object)[label],
                "confidence": self.probabilities[segment, label],
            }
        )

    def submission(self) -> pd.DataFrame:
        """A row for each segment by its `row_id`, a column for each class."""
        row_ids = self.row_ids or tuple(
            f"{PurePosixPath(name).stem}_{end:g}"
            for name, end in zip(self.recordings, self.end_s, strict=True)
        )
        index = pd.Index(row_ids, name="row_id", dtype="str")
        return pd.DataFrame(self.probabilities, index, list(self.classes))


def write_submission(path: Path, predictions: Predictions) -> None:
    """BirdCLEF's CSV: `row_id` and a column for each class."""
    predictions.submission().to_csv(path, float_format="%.8g")


def write_csv(path: Path, predictions: Predictions) -> None:
    """A CSV with a row for each segment and class: recording, start, end, class, confidence."""
    predictions.long().to_csv(path, index=False, float_format="%.8g")


def write_parquet(path: Path, predictions: Predictions) -> None:
    """A Parquet file with a row for each segment and a column for each class."""
    predictions.wide().to_parquet(path, index=False)


class Writer(NamedTuple):
    """A format: how it is written, and how the names of its files end."""

    write: Callable[[Path, Predictions], None]
    suffix: str


WRITERS: dict[str, Writer] = {
    "submission": Writer(write_submission, ".csv"),
    "csv": Writer(write_csv, ".csv"),
    "parquet": Writer(write_parquet, ".parquet"),
}
"""Output formats by name."""


def write_predictions(path: str | Path, predictions: Predictions, form: str = "csv") -> None:
    """Write predictions in one of the formats of `WRITERS`.

    Raises:
        ValueError: There is no such format.
    """
    if form not in WRITERS:
        raise ValueError(f"no format is called {form!r}: choose one of {', '.join(WRITERS)}")
    WRITERS[form].write(Path(path), predictions)
