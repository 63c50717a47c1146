"""What all parts of the script share: arrays, models, and refusals."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Floats = NDArray[Any]
Features = Callable[[Floats], Floats]
"""From samples (n,) to frames of features (T, F)."""
Model = Callable[[Floats], tuple[Floats, Floats]]
"""From inputs (B, C, F, T) to clipwise (B, K) and framewise (B, T', K) probabilities; of a teacher
from its windows to what it says of each of its classes, and their embeddings."""


class Refused(ValueError):
    """Something that can't be used; `str()` is the reason in one line."""
