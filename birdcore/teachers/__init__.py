"""External teachers: models that others have trained, whose outputs ours learn from.

To add one, write a file with a function that describes it (`birdnet.py` is the example) and list
it in `TEACHERS`.
"""

from collections.abc import Callable

from birdcore.teachers.birdnet import birdnet as describe_birdnet
from birdcore.teachers.external_teacher import ExternalTeacher

TEACHERS: dict[str, Callable[[], ExternalTeacher]] = {"birdnet": describe_birdnet}
"""The function that describes each teacher, by its name."""

__all__ = ["TEACHERS", "ExternalTeacher", "teacher_named"]


def teacher_named(name: str) -> ExternalTeacher:
    """A teacher by its name.

    Raises:
        ValueError: There is no teacher of this name, or it is not installed.
    """
    if name not in TEACHERS:
        raise ValueError(f"no external teacher is called {name!r}: choose {', '.join(TEACHERS)}")
    return TEACHERS[name]()
