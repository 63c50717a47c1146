"""Which species occur at a place in a week, by a model of occurrence.

It is a file that the user has, such as BirdNET's geomodel as ONNX; nothing is downloaded.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birdcore.text import plain_text

OCCURS = 0.03
"""BirdNET's own threshold of occurrence."""


@dataclass(frozen=True)
class Place:
    """Where and when recordings were made, and the model that knows what occurs there.

    Attributes:
        latitude: Degrees.
        longitude: Degrees.
        week: 1 to 48, four in each month; -1 for the whole year, as BirdNET has it.
        model: An ONNX file from (1, 3) latitude, longitude, week to probabilities (1, N).
        labels: A line for each of the N, in their order.
    """

    latitude: float
    longitude: float
    week: int
    model: Path
    labels: Path


def place_of(
    latitude: float | None, longitude: float | None, week: int | None, model: Path | None
) -> Place | None:
    """The place and week that are given; None where nothing is.

    Args:
        latitude: Degrees.
        longitude: Degrees.
        week: See `Place`.
        model: An occurrence model, whose labels lie beside it.

    Raises:
        ValueError: Some of them are missing, or are no place or week.
    """
    given = {"--lat": latitude, "--lon": longitude, "--week": week, "--geomodel": model}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if latitude is None or longitude is None or week is None or model is None:
        others = [name for name in given if name not in missing]
        raise ValueError(
            f"{', '.join(others)} without {', '.join(missing)}: a place is --lat, --lon, --week "
            "(1 to 48, or -1 for the whole year) and --geomodel, a file with a model of occurrence"
        )
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise ValueError(f"{latitude:g} {longitude:g} is no latitude and longitude")
    if week != -1 and not 1 <= week <= 48:
        raise ValueError(f"--week is 1 to 48, or -1 for the whole year, not {week}")
    beside = [model.with_suffix(".txt"), model.with_name("labels.txt")]
    labels = next((path for path in beside if path.is_file()), None)
    if not model.is_file() or labels is None:
        raise ValueError(
            f"--geomodel needs {model} and its labels beside it, {beside[0].name} or labels.txt"
        )
    return Place(latitude, longitude, week, model, labels)


def species_at(place: Place, threshold: float = OCCURS) -> list[str]:
    """Names of species that occur at a place in a week, by an occurrence model.

    Args:
        place: The place, the week and the model.
        threshold: The least probability of what occurs.

    Raises:
        ValueError: The model is none of this kind, or does not fit the labels.
        OSError: A file can't be read.
    """
    import onnxruntime  # not at the top: most users have no such model

    names = place.labels.read_text(encoding="utf-8").splitlines()
    content = place.model.read_bytes()
    inputs = np.array([[place.latitude, place.longitude, place.week]], np.float32)
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (outputs, *_) = session.run(None, {session.get_inputs()[0].name: inputs})
    except Exception as error:  # its exceptions have no common base of their own
        reason = plain_text(str(error))
        raise ValueError(f"{place.model} is no model of occurrence: {reason}") from error
    occurrence = np.asarray(outputs).reshape(-1)
    if len(names) != len(occurrence):
        raise ValueError(
            f"{place.labels} has {len(names)} names, {place.model} {len(occurrence)} outputs"
        )
    return [name for name, p in zip(names, occurrence, strict=True) if p >= threshold]
